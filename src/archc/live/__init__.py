"""Live models held against each other, a published one and the interpreter of the IR.

In goes a network, out come differences in words and numbers. Weights and inputs are drawn at random
by fixed seeds. The interpreter shares nothing with the backends: that is what it is for.
"""
