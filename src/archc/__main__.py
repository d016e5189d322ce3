"""`python -m archc` and the `archc` command."""

import gc
import os
import signal
from collections.abc import Sequence

# A command is short: looking for garbage every 700 allocations costs it a tenth of its time, and so
# does pydantic's search for plugins in every installed distribution.
gc.set_threshold(100_000)
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line, as `archc.cli.main` does; importing that can be interrupted too."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    from archc.cli import main as run

    signal.signal(signal.SIGINT, before)
    run(arguments)


def _interrupted(*_: object) -> None:
    """Ends the process: while modules are imported, an exception may come out as another one."""
    os.write(2, b"archc: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    main()
