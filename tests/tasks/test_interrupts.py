"""A Ctrl-C during an import comes when the import is over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[2]
MODULE = """
import os, signal, sys
os.kill(os.getpid(), signal.SIGINT)
for number in range(1000):
    pass
print("imported", flush=True)
"""
PROGRAM = """
import sys, time
from amltool.tasks.interrupts import interrupts_after_imports
sys.path.insert(0, sys.argv[1])
if sys.argv[2] == "with":
    with interrupts_after_imports():
        try:
            import interrupted
            time.sleep(5)
            print("never came")
        except KeyboardInterrupt:
            print("interrupted")
else:
    import interrupted
"""


def printed(folder: Path, how: str) -> str:
    (folder / "interrupted.py").write_text(MODULE)
    command = [sys.executable, "-c", PROGRAM, str(folder), how]
    return subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=300).stdout


def test_the_import_is_finished_first(tmp_path: Path) -> None:
    assert printed(tmp_path, "with") == "imported\ninterrupted\n"


def test_python_itself_would_not_finish_it(tmp_path: Path) -> None:
    assert printed(tmp_path, "without") == ""


def test_somebody_elses_handler_stays_and_ours_goes() -> None:
    program = (
        "import signal\nfrom amltool.tasks.interrupts import interrupts_after_imports as ours\n"
        "with ours():\n    inner = signal.getsignal(signal.SIGINT)\n"
        "assert inner is not signal.default_int_handler is signal.getsignal(signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "with ours():\n    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN\n"
        "import threading\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "done = []\n"
        "def other():\n    with ours():\n        done.append(1)\n"
        "thread = threading.Thread(target=other)\nthread.start()\nthread.join()\nassert done == [1]\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=TOP, check=True, timeout=300)
