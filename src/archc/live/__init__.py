"""Live models held against each other and against the interpreter, with weights drawn at random."""
