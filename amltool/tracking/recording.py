"""Lines for ``metrics.jsonl``: what a run logs, appended so that processes and threads never mix, read back by the run.

The environment variable AMLTOOL_METRICS_FILE names the file. Nothing here raises because of the file: a script is
never broken by what it wanted to log.
"""

import json
import os
import sys
import time
from enum import Enum
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Set

from amltool.tracking.values import NON_FINITE, plain, text, words_in

FILE_VARIABLE = "AMLTOOL_METRICS_FILE"
VERSION = 1


class Kind(Enum):
    """What a line is about; the values are those of the file."""

    METRIC = "metric"
    LIST = "list"
    ROW = "row"
    TABLE = "table"
    IMAGE = "image"
    PARAMETER = "parameter"
    TAG = "tag"


Entry = NamedTuple("Entry", [("kind", Kind), ("name", Any), ("value", Any), ("step", Any), ("more", Dict[str, Any])])
"""One thing to be logged, its value plain; ``more`` holds fields that only our own readers know."""


def entry(kind: Kind, name: Any, value: Any, step: Any = None, **more: Any) -> Entry:
    """An entry from values as the script has them; ``more`` leaves out what is empty."""
    return Entry(kind, name, plain(value), step, {key: plain(more[key]) for key in more if more[key]})


def metrics_file() -> Optional[str]:
    """Where this run's entries go; ``None`` outside a run."""
    return os.environ.get(FILE_VARIABLE) or None


def record(entries: Iterable[Entry]) -> bool:
    """Append entries, all in one write; whether they were kept.

    Outside a run that is said once on standard error; so is a failure to write.
    """
    path = metrics_file()
    if path is None:
        say_once("this is no run of amltool, so what it logs is not kept; `amltool submit` makes it one.")
        return False
    try:
        lines = b"".join(_line(one) for one in entries)
        if lines:
            _append(path, lines)
    except Exception as error:  # nothing that goes wrong here may end a training of three days
        say_once("what is logged cannot be written to %s (%s); the script goes on without it." % (path, error))
        return False
    return True


def entries_so_far() -> List[Dict[str, Any]]:
    """What this run logged until now, by all its processes, as the lines of the file; what is no entry is left out."""
    found: List[Dict[str, Any]] = []
    try:
        with open(metrics_file() or os.devnull, "rb") as stream:
            lines = stream.read().split(b"\n")
    except OSError:
        return found
    for line in lines:
        try:
            one = json.loads(line.decode("utf-8"))
        except ValueError:
            continue
        if isinstance(one, dict) and isinstance(one.get("kind"), str) and isinstance(one.get("name"), str):
            found.append(one)
    return found


def say_once(sentence: str) -> None:
    """Tell the user something on standard error, once in a process; never raises."""
    if sentence in _said:
        return
    _said.add(sentence)
    try:
        sys.stderr.write("amltool: " + text(sentence) + "\n")
        sys.stderr.flush()
    except Exception:  # closed, None, or something a notebook put there
        return


_said: Set[str] = set()
_torn: Set[str] = set()
"""Files whose last line of ours is not whole: the disk was full in the middle of it."""


def _line(one: Entry) -> bytes:
    fields: Dict[str, Any] = {"v": VERSION, "at": _now(), "kind": one.kind.value, "name": text(one.name)}
    fields.update(value=one.value, step=plain(one.step), **one.more)
    line = _encoded(fields)
    if any(word in line for word in _READ_LIKE_NUMBERS):
        words = words_in(one.value)
        line = _encoded(dict(fields, words=words)) if words else line
    return line.encode("ascii") + b"\n"


_READ_LIKE_NUMBERS = ['"%s"' % word for word in NON_FINITE]


def _encoded(fields: Dict[str, Any]) -> str:
    # ASCII only: no reader takes U+2028 or a carriage return in a text for the end of the line.
    return json.dumps(fields, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _now() -> str:
    now = time.time()
    return "%s.%03dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)), int(now % 1 * 1000))


def _append(path: str, content: bytes) -> None:
    """Append in one write, which the system does not mix with others' (O_APPEND).

    The file is opened each time: a descriptor that is kept would be closed by scripts that become daemons, and then
    be some other file.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
    try:
        if path in _torn:
            content = b"\n" + content
        written = os.write(descriptor, content)
        while written < len(content):
            _torn.add(path)
            written += os.write(descriptor, content[written:])
        _torn.discard(path)
    finally:
        os.close(descriptor)
