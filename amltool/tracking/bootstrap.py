"""Starts the command of a run on any host, watches over it and says how it ended; standard library, Python 3.6.

    python -I -S bootstrap.py run FOLDER < spec.json     (one line; what is not a whole line has no effect)
    python -I -S bootstrap.py launch FOLDER < spec.json  (the same in a process of its own; says how it is then)
    python -I -S bootstrap.py state FOLDER [--mark NUMBER]
    python -I -S bootstrap.py cancel FOLDER [--grace SECONDS] [--mark NUMBER]
    python -I -S bootstrap.py end FOLDER [--mark NUMBER]  (kills whatever there is of the run)
    python -I -S bootstrap.py receive               (places a snapshot: ``receiving``)
    python -I -S bootstrap.py input                 (places an input of a run: ``input_files``)
    python -I -S bootstrap.py turns ask|leave ...   (whose turn it is: ``turns``)

In the folder of the run: ``start.json`` claims it (made whole, by one bootstrap only), ``console.log`` holds what the
command printed, ``exit.json`` is written whole, last. As in a container, nothing outlives a run: what the command
leaves behind when it ends is terminated.

Needs nothing but the modules of this folder. They are made a package of their own here, for importing
``amltool.tracking`` would cost what a run's own tracking costs; and apart from this one, so that their compiled form
is kept and a start does not compile them again.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List

if not __package__:
    package = type(sys)("amltool_bootstrap")
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    # of a compiled module that does not fit on the disk, half is kept and breaks every later start
    # (https://github.com/python/cpython/issues/126606): with less than 16 MB of room none is written
    room = os.statvfs(package.__path__[0])
    sys.dont_write_bytecode = sys.dont_write_bytecode or room.f_bavail * room.f_frsize < 16 << 20
    sys.modules["amltool_bootstrap"] = package
    __package__ = "amltool_bootstrap"

from .quick_json import dumps, loads  # noqa: E402
from .run_state import GRACE_S, cancel, end_all, state  # noqa: E402
from .supervision import run  # noqa: E402

__all__ = ["cancel", "main", "run", "state"]

USAGE = "bootstrap.py run|launch|state|cancel|end FOLDER [--grace SECONDS] [--mark NUMBER], or receive|input|turns\n"


def main(arguments: "List[str]") -> int:
    """The command line; 0 unless it was called wrongly or nothing could be written."""
    if arguments[:1] == ["receive"]:
        from .receiving import main as receive

        return receive()
    if arguments[:1] == ["input"]:
        from .input_files import main as receive_input

        return receive_input()
    if arguments[:1] == ["turns"]:
        from .turns import main as turns

        turns(arguments[1:])
        return 0
    verb, folder = arguments[:2] if len(arguments) > 1 else ("", "")
    if verb in ("run", "launch"):
        try:
            line = sys.stdin.buffer.readline()  # not up to the end of the stream: who feeds a container cannot say it
            spec = loads(line if line.endswith(b"\n") else b"")
        except ValueError:  # whoever started us died before all of it was said: nothing must happen
            sys.stderr.write("bootstrap.py: standard input is not a whole spec\n")
            return 2
        if verb == "run":
            run(folder, spec)
        else:
            from .launching import launch

            sys.stdout.write(dumps(launch(folder, spec)) + "\n")
    elif verb in ("state", "cancel", "end"):
        options = {arguments[at]: arguments[at + 1] for at in range(2, len(arguments) - 1, 2)}
        mark = int(options["--mark"]) if "--mark" in options else None
        if verb == "state":
            sys.stdout.write(dumps(state(folder, mark)) + "\n")
        elif verb == "cancel":
            cancel(folder, float(options.get("--grace", GRACE_S)), mark)
        else:
            end_all(folder, mark)
    else:
        sys.stderr.write(USAGE)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
