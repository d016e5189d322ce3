"""From YAML text to a `Spec`: reading with places, libraries, variants, and what a file may say.

In: paths. Out: frozen pydantic models whose every node remembers its line and column. A variant is
already its base with the changes made: no later stage knows that there are variants. A row is read
where its columns are known, whether it is a list or a mapping, and only then are its cells parsed.
"""
