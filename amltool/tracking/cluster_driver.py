"""Runs a script as Spark's driver in a container of YARN (deploy mode ``cluster``); standard library, Python 3.6.

``spark-submit`` starts this file there. Beside it lie, as YARN has brought them: the settings of the run
(``SETTINGS``), the project and what travels with runs as zip files. The script gets a folder of its own, its console
goes to a file among the container's logs, which anybody on the cluster can follow; at the end, also after a failure,
outputs, logs and how it ended are put into the run's folder on the cluster's file system.
"""

import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
import time
import traceback
import zipfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, Tuple

SETTINGS, PROJECT, LIBRARY = "amltool-run.json", "amltool-project.zip", "amltool-library.zip"
WORK, LIBRARY_FOLDER = "amltool-work", "amltool-library"
CONSOLE, LEFT, END = "amltool-console", "driver.tar", "driver.json"
METRICS = "metrics.jsonl"
NOT_STARTED = 126
MODES = 0o777


def main() -> int:
    """Run the script to its end; its exit code, 128 + n where signal n ended it."""
    with open(SETTINGS, encoding="ascii") as stream:
        settings = json.load(stream)
    unpack(LIBRARY, LIBRARY_FOLDER)
    sys.path.append(os.path.abspath(os.path.join(LIBRARY_FOLDER, "path")))
    from amltool.tracking import processes
    from amltool.tracking.cluster_files import ClusterFolder

    guard = Guard(processes)
    folder = ClusterFolder(settings["folder"])
    console_file = os.path.join(folder.log_folder() or ".", CONSOLE)
    end = {"v": 1, "exit_code": None, "signal": None, "started": _now(), "spark": folder.spark_version()}  # type: Dict[str, Any]
    with open(console_file, "ab", 0) as console:
        try:
            unpack(PROJECT, WORK)
            end.update(_run(settings, console, guard))
        except Exception:  # whatever it is, it is said, and what is there is kept
            console.write(traceback.format_exc().encode("utf-8", "backslashreplace"))
            end["exit_code"] = NOT_STARTED
    guard.end()
    end["ended"] = _now()
    _leave(folder, console_file, end)
    folder.close()
    code = end["exit_code"]
    return code if code is not None else 128 + int(getattr(signal, end["signal"], 0))


class Guard:
    """A process that ends all the script started once this one is gone, or says that the script ended.

    YARN ends the process group of a container, and the script has one of its own: its ``kill 0`` is not for us.
    """

    def __init__(self, processes: "Any") -> None:
        self._processes = processes
        self._mark = processes.LEAST_MARK + int.from_bytes(os.urandom(7), "big")
        source, self._held = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.setsid()
                os.close(self._held)
                nothing = os.open(os.devnull, os.O_RDWR)
                for stream in (0, 1, 2):
                    os.dup2(nothing, stream)
                os.read(source, 1)  # ends when nobody holds the other side
                processes.kill_marked(self._mark, None)
            finally:
                os._exit(0)
        os.close(source)

    def watch(self) -> None:
        """Have this process and all that come from it watched; called by the script's own before it is the script."""
        self._processes.put_mark(self._mark)

    def end(self) -> None:
        """End what the script left running."""
        os.close(self._held)
        os.waitpid(self._pid, 0)


def _run(settings: "Dict[str, Any]", console: "Any", guard: "Guard") -> "Dict[str, Any]":
    for name in ("outputs", "logs"):
        os.makedirs(os.path.join(WORK, name), exist_ok=True)
    here = os.getcwd()
    site = os.path.join(here, LIBRARY_FOLDER, "site")
    python_path = [site, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    environment = dict(os.environ, **settings["variables"])
    environment.update(
        PYTHONPATH=os.pathsep.join(python_path),
        AMLTOOL_METRICS_FILE=os.path.join(here, METRICS),
        PWD=os.path.join(here, WORK),
    )
    child = subprocess.Popen(
        [sys.executable, *settings["script"]],
        cwd=WORK,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=console,
        stderr=console,
        start_new_session=True,
        preexec_fn=guard.watch,  # noqa: PLW1509 (this process has no threads)
    )
    status = child.wait()
    if status < 0:
        return {"signal": signal.Signals(-status).name}
    return {"exit_code": status}


def _leave(folder: "Any", console_file: str, end: "Dict[str, Any]") -> None:
    """Put what the script left into the run's folder; how it ended comes last, so that with it all is there."""
    with tarfile.open(LEFT, "w") as tar:
        for path, name in _left(console_file):
            try:
                tar.add(path, name, recursive=False)
            except OSError as error:
                end.setdefault("omitted", []).append([name, str(error.strerror)])
    folder.put(LEFT, LEFT)
    with open(END, "w", encoding="ascii") as stream:
        json.dump(end, stream)
    folder.put(END, END)


def _left(console_file: str) -> "Iterator[Tuple[str, str]]":
    """Files to keep, and their names: regular ones only, no link is followed."""
    for path, name in ((console_file, "console.log"), (METRICS, METRICS)):
        if os.path.isfile(path):
            yield path, name
    for top in ("outputs", "logs"):
        for folder, folders, files in os.walk(os.path.join(WORK, top)):
            folders.sort()
            for file in sorted(files):
                path = os.path.join(folder, file)
                if stat.S_ISREG(os.lstat(path).st_mode):
                    yield path, os.path.relpath(path, WORK)


def unpack(archive: str, folder: str) -> None:
    """Unpack one of our own zip files: with modes and links."""
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            target, mode = os.path.join(folder, member.filename), member.external_attr >> 16
            if member.filename.endswith("/"):
                os.makedirs(target, exist_ok=True)
                continue
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if stat.S_ISLNK(mode):
                os.symlink(os.fsdecode(packed.read(member)), target)
                continue
            with open(target, "wb") as stream, packed.open(member) as content:
                for block in iter(lambda: content.read(1 << 20), b""):
                    stream.write(block)
            os.chmod(target, (mode & MODES) or 0o644)


def pack(folder: str, archive: str, *, without: "Tuple[str, ...]" = ()) -> None:
    """Pack a folder's files into a zip file that `unpack` takes; ``without`` names folders at its top."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as packed:
        for place, folders, files in os.walk(folder):
            if place == folder:
                folders[:] = [name for name in folders if name not in without]
            folders.sort()
            for name in folders:  # Python imports a folder without __init__.py only if the zip file names the folder
                if not os.path.islink(os.path.join(place, name)):
                    inside = os.path.relpath(os.path.join(place, name), folder)
                    packed.writestr(zipfile.ZipInfo(inside + "/", (1980, 1, 1, 0, 0, 0)), b"")
            for name in sorted(files + [each for each in folders if os.path.islink(os.path.join(place, each))]):
                path = os.path.join(place, name)
                state = os.lstat(path)
                member = zipfile.ZipInfo(os.path.relpath(path, folder), (1980, 1, 1, 0, 0, 0))
                member.external_attr = state.st_mode << 16
                member.compress_type = zipfile.ZIP_DEFLATED
                if stat.S_ISLNK(state.st_mode):
                    packed.writestr(member, os.fsencode(os.readlink(path)))
                elif stat.S_ISREG(state.st_mode):
                    with open(path, "rb") as stream:
                        packed.writestr(member, stream.read())


def _now() -> str:
    now = time.time()
    return "%s.%03dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)), now % 1 * 1000)


if __name__ == "__main__":
    sys.exit(main())
