"""Scripts that plant what they can at every path of their run folder, its top and its parent; and victims of it.

A script is made from a seed and is the same each time. It never writes through what it planted: what lies behind its
links is changed only by whoever follows them. A victim is a folder whose content, names, modes and times are told by
`seen`, a program that can be run on any machine.
"""

from __future__ import annotations

import json
import random

PLACES = (
    "work",
    "work/outputs",
    "work/logs",
    "work/train.py",
    "work/data",
    "work/data/a.txt",
    "work/data/deep/b.txt",
    "work/new",
    "console.log",
    "start.json",
    "exit.json",
    "metrics.jsonl",
    "home",
    "live",
    "passwd",
    "incoming",
    "placing.attempt",
    "placed.json",
    "released.json",
    "uses.json",
    "untracked.json",
    "copied_back.json",
)
"""Below the folder of the run."""
ABOVE = (".", "..")
"""The folder of the run itself, and the folder of all runs."""
KINDS = (
    "link to file",
    "link to folder",
    "link to nothing",
    "pipe",
    "socket",
    "device",
    "file",
    "folder",
    "mode",
    "hard link",
    "away",
    "forged",
)
FILES = {"train.py": "print('committed')\n", "data/a.txt": "a\n", "data/deep/b.txt": "b\n"}
"""What a project of these tests holds; ``train.py`` is the honest script."""

_SCRIPT = """
import json, os, random, socket, stat, time
VICTIM, PLANTS, FORGED = {victim!r}, {plants!r}, {forged!r}
RUN = os.path.dirname(os.getcwd())
ROOT = os.path.dirname(os.path.dirname(RUN))
def is_ours(path):  # never through what was planted before
    real = os.path.realpath(os.path.dirname(path))
    return real == ROOT or real.startswith((RUN, ROOT + "/runs", ROOT + "/marks"))
def clear(path):
    if os.path.lexists(path):
        os.rename(path, path + ".away-%d" % random.randrange(10**9))
def plant(kind, path, number):
    if not is_ours(path):
        return
    if kind == "mode":
        if not os.path.islink(path) and os.lstat(path).st_nlink < 2 or os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, [0, 0o111, 0o2755, 0o777, 0o500][number % 5])
        return
    clear(path)
    if kind == "link to file":
        os.symlink(VICTIM + "/keep.txt", path)
    elif kind == "link to folder":
        os.symlink([VICTIM, VICTIM + "/sub"][number % 2], path)
    elif kind == "link to nothing":
        os.symlink(VICTIM + "/nothing", path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        here = os.open(os.path.dirname(path), os.O_RDONLY)
        socket.socket(socket.AF_UNIX).bind("/proc/self/fd/%d/%s" % (here, os.path.basename(path)))
    elif kind == "device":
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, [3, 5][number % 2]))
    elif kind == "file":
        with open(path, "xb") as stream:
            stream.write(os.urandom(number))
    elif kind == "folder":
        os.makedirs(path + "/inner/more")
        open(path + "/inner/file", "x").close()
    elif kind == "hard link":
        os.link(VICTIM + "/keep.txt", path)
    elif kind == "forged":
        with open(path, "x") as stream:
            json.dump(FORGED[number % len(FORGED)], stream)
for kind, path, number in PLANTS:
    try:
        plant(kind, os.path.normpath(os.path.join(RUN, path)), number)
    except OSError:
        pass
if {everywhere!r}:  # forge each mark of a name that is known, wherever one lies
    for folder, _, names in list(os.walk(ROOT)):
        for name in names:
            path = os.path.join(folder, name)
            if name in ("placed.json", "released.json", "uses.json", "start.json", "exit.json", "untracked.json"):
                try:
                    plant("forged", path, random.randrange(100))
                except OSError:
                    pass
print("planted", flush=True)
"""
_SEEN = """
import hashlib, os, stat, sys
def main(top):
    found = []
    for folder, folders, names in sorted(os.walk(top)):
        for name in [""] + sorted(names) + [each for each in folders if os.path.islink(os.path.join(folder, each))]:
            path = os.path.join(folder, name) if name else folder
            state = os.lstat(path)
            content = ""
            if stat.S_ISREG(state.st_mode):
                with open(path, "rb") as stream:
                    content = hashlib.sha256(stream.read()).hexdigest()
            elif stat.S_ISLNK(state.st_mode):
                content = os.readlink(path)
            found.append("%s %o %d %s" % (os.path.relpath(path, top), state.st_mode, state.st_mtime_ns, content))
    return found
print("\\n".join(main(sys.argv[1])))
"""
_VICTIM = """
import os, shutil, sys
top = sys.argv[1]
assert os.path.basename(top) == "victim"
shutil.rmtree(top, ignore_errors=True)
for folder in ("sub/work/outputs", "outputs", "work", "data"):
    os.makedirs(os.path.join(top, folder))
for path in ("keep.txt", "sub/precious.txt", "sub/work/train.py", "outputs/model", "train.py", "exit.json"):
    with open(os.path.join(top, path), "w") as stream:
        stream.write("precious " + path)
os.chmod(os.path.join(top, "sub"), 0o750)
os.chmod(os.path.join(top, "keep.txt"), 0o640)
os.symlink("keep.txt", os.path.join(top, "link"))
for folder, _, names in os.walk(top, topdown=False):
    for name in [*names, "."]:
        os.utime(os.path.join(folder, name), (10**9, 10**9), follow_symlinks=False)
"""


def hostile_script(seed: int, victim: str, *, count: int = 4, top: bool = True) -> str:
    """The text of a script that plants ``count`` things; without ``top`` none in the place of its folder's top or of
    the folder of all runs, which a container cannot reach."""
    chance = random.Random(seed)
    plants = []
    for _ in range(count):
        places = (*PLACES, *ABOVE) if top else PLACES
        plants.append((chance.choice(KINDS), chance.choice(places), chance.randrange(100)))
    # what takes the place of the run's own folder comes last: from then on its other paths are gone
    plants.sort(key=lambda plant: ABOVE.index(plant[1]) + 1 if plant[1] in ABOVE else 0)
    return _SCRIPT.format(victim=victim, plants=plants, forged=_forged(chance), everywhere=chance.random() < 0.3)


def _forged(chance: random.Random) -> list[object]:
    """What a mark or a file of a run may be made to say."""
    start = {
        "v": 1,
        "pid": chance.choice([1, -1, 2**40, 4194300]),
        "mark": chance.choice([1024, -1, 2**63 - 1]),
        "boot": "x",
        "pid_namespace": "pid:[4026531836]",
        "process_started": "1",
        "run_id": chance.choice(["", "x", None]),
    }
    end = {"v": 1, "exit_code": chance.choice([0, 300, -1, "0"]), "started": "never", "ended": 12}
    placed = {"v": 1, "tick": chance.randrange(2**62), "files": [["train.py", 0o100644, "0" * 40, [1, 1, 1, 1, 1]]]}
    released = {"project": chance.choice(["/x/.git:", "", 5]), "at": "2026-11-30T00:00:00Z"}
    return [start, end, placed, released, [], None, json.loads("[" * 150 + "]" * 150)]


def victim_program() -> str:
    """A program that makes the folder of a victim (its argument)."""
    return _VICTIM


def seen_program() -> str:
    """A program that tells all of a folder (its argument): names, modes, times of change, contents."""
    return _SEEN
