"""The door that Git's hook scripts come in by: ``main(["pre-commit", ...])``, or ``python -m amltool.hooks.git_hooks``.

It says with its exit code whether Git may go on, so that the script can tell a refusal from a failure of ours.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

from amltool.errors import UserError
from amltool.text import harmless_lines

INPUT_HOOKS = ("pre-push", "post-rewrite")
"""Those that Git gives standard input (githooks(5)); of the others it may be a terminal."""


class HookExit(IntEnum):
    """What the hook scripts understand; 1 is what Python itself ends with, so it means nothing here."""

    PASSED = 0
    BROKEN = 3
    REFUSED = 10
    INTERRUPTED = 130


def main(words: Sequence[str]) -> int:
    """Answer the hook ``words[0]`` with the arguments Git gave it; print what there is to say to standard error."""
    gc.disable()  # a process of a tenth of a second collects nothing worth its time
    try:
        return _main(words)
    except KeyboardInterrupt:
        return HookExit.INTERRUPTED
    except UserError as error:
        return _not_looked(words, error.what)
    except Exception as error:
        return _not_looked(words, f"{type(error).__name__}: {error} ({_place(error)}); this is a fault of amltool's")


def _main(words: Sequence[str]) -> int:
    from amltool.commands.hooks import answer

    if not words:
        raise UserError("it was not told which hook it is.")
    given = sys.stdin.buffer.read() if words[0] in INPUT_HOOKS and not sys.stdin.isatty() else b""
    said = answer(words[0], words[1:], given)
    _print(said.text)
    return HookExit.REFUSED if said.refused else HookExit.PASSED


def _not_looked(words: Sequence[str], why: str) -> int:
    """Say in one line why nothing was looked at; where the settings are strict that is a refusal."""
    from amltool.commands.hooks import is_strict

    hook = words[0] if words else "hook"
    _print(f"amltool: {hook} was not checked: {' '.join(why.split())}")
    if not is_strict(Path.cwd()):
        return HookExit.BROKEN
    _print(f"amltool: {hook} refuses what it cannot check, because strict_hooks is set.")
    return HookExit.REFUSED


def _place(error: BaseException) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return "" if frame is None else f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"


def _print(text: str) -> None:
    """To standard error, where Git shows it."""
    if text:
        sys.stderr.buffer.write(harmless_lines(text).encode("utf-8", "backslashreplace") + b"\n")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
