"""The primitive ops: a record each, in a file for each family.

A record is all that the compiler knows of an op: signature, shape rule, weights, cost, and what
code has to be told. Beside it stand only the op's definition in the interpreter, a spelling and a
place for each of its weights in each backend, and a case in the op tests.
"""
