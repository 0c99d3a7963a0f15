"""What a user sees of a run while it goes on, and how a finished one becomes an exit code."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from amltool.tasks.failures import HIGHEST_EXIT_CODE, ExitCode, Outcome
from amltool.tasks.output import unguarded
from amltool.text import harmless, harmless_json, harmless_lines

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from amltool.run import RunRecord, RunStatus, Verdict

PROGRESS_AFTER_S = 1.0
"""Work that takes less than this shows no progress bar."""
TITLE = "Executing user inputs ....."
"""The ancestor's words (WORKBENCH 2.3)."""
_SIGNAL_NUMBER = re.compile(r"[1-9]|[1-9][0-9]|1[01][0-9]|12[0-7]")


class TerminalWatcher:
    """Console bytes to standard output (to standard error with ``--json``); all else to standard error."""

    def __init__(self, run_id: str | None = None, *, json: bool = False) -> None:
        self._json = json
        self._run_id = run_id
        self._is_titled = False
        self._began = 0.0
        self._done = 0
        self._what = ""
        self._bar: Progress | None = None
        self._bar_task: TaskID | None = None

    def status(self, status: RunStatus) -> None:
        self.close()
        if status.value == "Running" and not self._is_titled:  # on a cluster a run waits after it was begun
            self._is_titled = True
            self.say(f"{TITLE}\n{'=' * len(TITLE)}")

    def console(self, content: bytes) -> None:
        stream = sys.stderr if self._json else sys.stdout
        stream.flush()
        stream.buffer.write(content)
        stream.flush()

    def say(self, message: str) -> None:
        print(harmless_lines(message), file=sys.stderr, flush=True)

    def log(self, line: str) -> None:
        """A line of a build: set apart from what the run prints, and pale where colours are wanted."""
        self.close()
        line = harmless(line)
        pale = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        print(f"\x1b[2m  | {line}\x1b[0m" if pale else f"  | {line}", file=sys.stderr, flush=True)

    def progress(self, what: str, size: int, total: int | None) -> None:
        now = time.monotonic()
        if what != self._what:
            self.close()
            self._what, self._began, self._done = what, now, 0
        self._done += size
        if self._bar is None:
            if now - self._began < PROGRESS_AFTER_S or not sys.stderr.isatty():
                return
            self._open_bar(total)
        if self._bar is not None and self._bar_task is not None:
            self._bar.update(self._bar_task, completed=self._done)

    def _open_bar(self, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._bar = Progress(*columns, console=Console(file=unguarded(sys.stderr)), transient=True)
        self._bar_task = self._bar.add_task(harmless(self._what), total=total)
        self._bar.start()

    def close(self) -> None:
        """Take a progress bar away; what comes next is not part of it."""
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._bar_task, self._what = None, None, ""


def outcome_of(record: RunRecord) -> Outcome:
    """The exit code a finished run gives to the command that followed it (DESIGN 7)."""
    from amltool.run import RunStatus

    if record.status is RunStatus.COMPLETED:
        return Outcome(ExitCode.DONE)
    if record.status is RunStatus.CANCELED:
        return Outcome(ExitCode.INTERRUPTED)
    if record.signal is not None:
        return Outcome.ended_by(signal_number(record.signal))
    code = record.exit_code or ExitCode.MISTAKE
    return Outcome(code if 0 < code <= HIGHEST_EXIT_CODE else ExitCode.MISTAKE)


def outcome_of_verdict(*verdicts: Verdict) -> Outcome:
    """The exit code of a command that waited for reruns: their verdicts count, not how the scripts ended (DESIGN 6)."""
    return Outcome(ExitCode.DONE if all(verdict.is_same for verdict in verdicts) else ExitCode.MISTAKE)


def signal_number(name: str) -> int:
    """The number of a signal by its name; 1 for a name this machine does not know."""
    with contextlib.suppress(KeyError, ValueError):
        return int(signal.Signals[name].value)
    digits = name.removeprefix("SIG")
    return int(digits) if _SIGNAL_NUMBER.fullmatch(digits) else 1


def ending_line(record: RunRecord, *, kept_in: str | None = None) -> str:
    """How a run ended, in a line for its user, and where to look further."""
    how = record.status.value
    if record.signal:
        how += f" (killed by {record.signal})"
    elif record.exit_code:
        how += f" (exit code {record.exit_code})"
    if record.reason:
        how += f": {record.reason}"
    see = f"see: amltool show {record.run_id.rsplit('-', 1)[-1]}"
    if kept_in is not None:
        see = f"no record is kept; its files: {kept_in}"
    return f"RunId: {record.run_id}\n{how}; {see}"


def print_json(value: Any) -> None:
    """The one JSON document of a ``--json``."""
    import msgspec

    try:
        document = msgspec.json.encode(value, enc_hook=str)
    except UnicodeEncodeError:  # a name that is not UTF-8, which JSON cannot hold
        document = msgspec.json.encode(_safe(msgspec.to_builtins(value, enc_hook=str, str_keys=True)))
    sys.stdout.flush()
    sys.stdout.buffer.write(harmless_json(msgspec.json.format(document, indent=2)) + b"\n")
    sys.stdout.flush()


def _safe(value: Any) -> Any:
    from amltool.files import safe_text

    if isinstance(value, dict):
        return {safe_text(str(key)): _safe(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_safe(each) for each in value]
    return safe_text(value) if isinstance(value, str) else value


@contextlib.contextmanager
def second_interrupt(offer: Callable[[], None], seconds: float = 2.0) -> Iterator[list[bool]]:
    """Within it a Ctrl-C is noted in the list that is given, for so many seconds or until it comes.

    ``offer`` says so: who reads it may be quick, so that it is noted already then.
    """
    pressed: list[bool] = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        offer()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not pressed:
            time.sleep(0.05)
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def write_bytes(blocks: Iterator[bytes]) -> None:
    """Blocks to standard output as they are."""
    sys.stdout.flush()
    for block in blocks:
        view = memoryview(block)
        while view:
            view = view[os.write(sys.stdout.fileno(), view) :]
