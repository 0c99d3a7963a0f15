"""Files a script hands over: put into the ``outputs`` folder of the run, which is collected."""

import os
from typing import Any, List, Optional

from amltool.tracking.recording import metrics_file, say_once
from amltool.tracking.values import text

OUTPUTS, LOGS = "outputs", "logs"
LONGEST_NAME = 200
"""Bytes of a file name that leave room for what we add; file systems end at 255."""

try:
    _started_in = os.getcwd()
except OSError:  # the script removed the folder it stood in
    _started_in = os.curdir


def work_folder() -> str:
    """The folder in which the run started, absolute, wherever the script went since (``chdir``)."""
    beside = os.path.join(os.path.dirname(metrics_file() or ""), "work")
    return beside if os.path.isabs(beside) and os.path.isdir(beside) else _started_in


def outputs_folder() -> str:
    """The ``outputs`` folder of the run, absolute; made if it is missing."""
    folder = os.path.join(work_folder(), OUTPUTS)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        say_once("the folder %s cannot be made (%s)." % (folder, error))
    return folder


def name_inside(name: Any) -> str:
    """A name the user gave, as a path below ``outputs`` that leads nowhere else.

    A leading ``outputs/`` is the folder itself, not one in it; ``..`` and an absolute path lose what leads out.
    """
    parts = [
        part for part in text(name).replace("\\", "/").replace("\0", "_").split("/") if part not in ("", ".", "..")
    ]
    if len(parts) > 1 and parts[0] == OUTPUTS:
        parts = parts[1:]
    return "/".join(_short(part) for part in parts) or "_"


def keep_content(name: Any, content: bytes, replace: bool = True) -> str:
    """Write bytes below ``outputs`` and give the path as ``outputs/...``; without ``replace`` under a free name.

    Raises:
        OSError: it cannot be written.
    """
    inside = name_inside(name)
    path = _place(inside if replace else _free(inside))
    beside = "%s.%s.part" % (path, os.urandom(4).hex())
    try:
        with open(beside, "wb") as stream:
            stream.write(content)
        os.replace(beside, path)
    except OSError:
        _discard(beside)
        raise
    return _told(path)


def keep_file(name: Any, source: str, replace: bool = True) -> str:
    """Copy a file below ``outputs``, unless it lies there already, and give the path as ``outputs/...``.

    Raises:
        OSError: it cannot be read, or not be written.
    """
    import shutil

    inside = name_inside(name)
    path = os.path.join(outputs_folder(), *inside.split("/"))
    if os.path.exists(path) and os.path.samefile(path, source):
        return _told(path)
    path = _place(inside if replace else _free(inside))
    beside = "%s.%s.part" % (path, os.urandom(4).hex())
    try:
        shutil.copyfile(source, beside)
        os.replace(beside, path)
    except OSError:
        _discard(beside)
        raise
    return _told(path)


def keep_image(name: Any, path: Any, plot: Any) -> Optional[str]:
    """Put a picture below ``outputs`` and give its path as ``outputs/...``; ``None``, and a word why, if it cannot be.

    A plot (anything with ``savefig``, or that has such a ``figure``) becomes ``<name>.png``, the second of that name
    ``<name>_1.png``; so does what can be read. The ancestor put the time into the name, so that no rerun left the same.
    A path that lies in ``outputs`` stays where it is.
    """
    drawn = "%s.png" % text(name)
    try:
        if plot is not None:
            return keep_content(drawn, _drawn(plot), replace=False)
        if hasattr(path, "read"):
            return keep_content(drawn, path.read(), replace=False)
        source = os.fspath(path)
        inside = _inside_outputs(source)
        return inside or keep_file(os.path.basename(os.fsdecode(source)), source, replace=False)
    except Exception as error:  # drawing can fail in every way
        say_once("the image %s is not kept (%s: %s)." % (text(name), type(error).__name__, error))
        return None


def files_so_far() -> List[str]:
    """The files in ``outputs`` and ``logs`` until now, sorted, as ``outputs/...`` and ``logs/...``."""
    found = []
    work = work_folder()
    for top in (OUTPUTS, LOGS):
        for folder, _, names in os.walk(os.path.join(work, top)):
            found += [os.path.relpath(os.path.join(folder, name), work).replace(os.sep, "/") for name in names]
    return sorted(found)


def _drawn(plot: Any) -> bytes:
    from io import BytesIO

    stream = BytesIO()
    save = getattr(plot, "savefig", None) or plot.figure.savefig
    save(stream, format="png")
    return stream.getvalue()


def _inside_outputs(source: Any) -> Optional[str]:
    top = os.path.realpath(outputs_folder())
    path = os.path.realpath(os.fsdecode(source))
    is_inside = path.startswith(os.path.join(top, "")) and os.path.isfile(path)
    return "%s/%s" % (OUTPUTS, os.path.relpath(path, top).replace(os.sep, "/")) if is_inside else None


def _place(inside: str) -> str:
    path = os.path.join(outputs_folder(), *inside.split("/"))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def _free(inside: str) -> str:
    stem, ending = os.path.splitext(inside)
    number = 1
    candidate = inside
    while os.path.lexists(os.path.join(outputs_folder(), *candidate.split("/"))):
        candidate = "%s_%d%s" % (stem, number, ending)
        number += 1
    return candidate


def _short(part: str) -> str:
    if len(part.encode("utf-8")) <= LONGEST_NAME:
        return part
    stem, ending = os.path.splitext(part)
    ending = ending[:20]
    return stem.encode("utf-8")[: LONGEST_NAME - len(ending.encode("utf-8"))].decode("utf-8", "ignore") + ending


def _told(path: str) -> str:
    return "%s/%s" % (OUTPUTS, os.path.relpath(path, outputs_folder()).replace(os.sep, "/"))


def _discard(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
