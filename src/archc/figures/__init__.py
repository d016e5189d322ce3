"""Networks as figures: what is in them (`graph`), where it stands (`layout`), and how it is written
(`svg`, `picture`, `mermaid`). No framework, and no library but matplotlib for a PNG."""
