"""From a `Spec` to a `Program`: names become what they name, text becomes expressions.

In: a spec. Out: blocks and rows whose calls point at ops and blocks, with nothing worked out yet;
no size or setting is known here.
"""
