"""How a network is trained: a file of its own, read as a spec is.

In: the path of a recipe. Out: a `Recipe` with every constant explicit, and, beside a network, what
of that it trains, decays and weighs. What surprises: a recipe has no expressions and no parameters;
what it says of a key takes the place of all that the recipe which it extends says there.
"""
