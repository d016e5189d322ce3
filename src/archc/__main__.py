"""`python -m archc` and the `archc` command."""

from archc.cli import main

if __name__ == "__main__":
    main()
