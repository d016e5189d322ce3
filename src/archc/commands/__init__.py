"""What each command of `archc` reads, says and writes.

In comes what a user types, out go results on stdout, all else on stderr, and an exit code. Each
module is imported when one of its commands is asked for, and what is slow to import only where it
is used.
"""
