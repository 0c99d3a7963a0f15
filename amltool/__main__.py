"""``amltool`` and ``python -m amltool``."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

INTERRUPTED = 130


def main() -> NoReturn:
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
    try:
        AmltoolProgram(ns).run()
    except SystemExit as ended:
        if isinstance(ended.code, int) or ended.code is None:
            _leave(ended.code or 0)
        raise
    _leave(0)


def _leave(exit_code: int) -> NoReturn:
    """Leave without taking 300 modules apart one by one, which takes as long as a fifth of a short command.

    Nothing is lost by it: what we write is closed where it is written, and the two streams are flushed here. (mypy and
    Mercurial leave in this way, too.)
    """
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        sys.exit(exit_code)  # the ordinary way knows what to do about a stream that cannot be written
    os._exit(exit_code)


if __name__ == "__main__":
    main()
