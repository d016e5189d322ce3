"""What the compiler writes: the canonical text of a network, a resolved spec, the JSON schema."""
