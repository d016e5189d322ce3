"""`python -m archc` and the `archc` command."""

import gc
import os
import sys
from collections.abc import Sequence

# A command is short: looking for garbage every 700 allocations costs it a tenth of its time, and so
# does pydantic's search for plugins in every installed distribution.
gc.set_threshold(100_000)
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line, as `archc.cli.main` does; importing that can be interrupted too."""
    try:
        from archc.cli import main as run
    except KeyboardInterrupt:
        print("archc: interrupted", file=sys.stderr)
        sys.exit(130)
    run(arguments)


if __name__ == "__main__":
    main()
