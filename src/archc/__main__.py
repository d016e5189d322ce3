"""`python -m archc` and the `archc` command."""

import gc
import os

# A command is short: looking for garbage every 700 allocations costs it a tenth of its time, and so
# does pydantic's search for plugins in every installed distribution.
gc.set_threshold(100_000)
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from archc.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
