"""The words that every stage shares: problems and places, values and types, expressions.

Nothing here knows of specs or networks. An expression is parsed into a small tree, and is only ever
walked: it never becomes code of Python's.
"""
