"""From a `Program` and settings to a `Network`: every shape, argument and number is worked out.

In: a program. Out: the IR, with warnings of what is legal and probably wrong. Calls of one block
with equal arguments and inputs share one body, so that a long network costs its variety alone.
"""
