"""The IR and what is known of it: ops, shapes, weights, costs, and what a block looks like outside.

In: nothing, it is data. What surprises: a block is kept as it was written, once, beside every call
of it with all numbers worked out (`Body`); the generated code mirrors the first, counts come from
the second.
"""
