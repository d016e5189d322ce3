"""A network, or two of them, as one HTML page that needs nothing else: what its tables show
(`rows`), its sources with their lines tied to rows (`sources`), and the page itself (`page`)."""
