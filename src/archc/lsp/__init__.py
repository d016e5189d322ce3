"""The language server: what editors ask of specs that are being written.

Texts of an editor go in, and what the compiler says of them comes out; nothing here knows the
language but for where things stand in a file. `server` speaks the protocol, `documents` holds what
is open, `tree` and `roles` find what stands at a position, and each of the others answers one kind
of question.
"""
