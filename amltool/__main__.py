"""``amltool`` and ``python -m amltool``."""

from __future__ import annotations

import gc
import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line of this process; leaves with an exit code, never with a traceback."""
    gc.set_threshold(100_000)  # importing makes no garbage worth looking for, and looking costs milliseconds
    try:
        from amltool.tasks.startup import import_invoke

        import_invoke()
        from amltool.tasks import ns
        from amltool.tasks.program import AmltoolProgram
    except ImportError as error:
        sys.exit(f"amltool is not wholly installed: {error}.\nInstall it again: pip install --force-reinstall amltool")
    except KeyboardInterrupt:
        # Between two imports: there is nothing yet to leave in order.
        sys.exit(INTERRUPTED)
    AmltoolProgram(ns).run()


if __name__ == "__main__":
    main()
