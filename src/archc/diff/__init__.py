"""What an edit of a spec does: to its rows, its costs, its checkpoints and its callers.

In go two networks, out comes a `Diff`: rows paired as a reader pairs them, and findings, each with
an identifier that stays and a class. Text, comments and the order of keys are no part of a network,
so they are no part of a diff.
"""
