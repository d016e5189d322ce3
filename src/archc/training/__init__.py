"""Training that is proven: what a recipe means, in NumPy, and models trained beside it.

In: a `Training` of the compiler. Out: differences, by step and weight. What surprises: gradients
are a framework's own, as archc has none; each update is worked out anew from them.
"""
