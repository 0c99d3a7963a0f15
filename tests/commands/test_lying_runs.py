"""Runs that lie about their end or spoil their folder: each has a record of its own, and the next one works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.amltool_command import amltool, make_project

LIAR = """
import json, os, sys
os.chdir("..")
exec(sys.argv[1])
"""
END = "import time; open('x', 'w').write({!r}); os.rename('x', 'exit.json'); time.sleep(60)"
FORGED = '{"exit_code":300,"started":"x","ended":"\\u001b]0;owned","peak_memory":-1,"reason":"\\u001b[2J"}'
SPARSE = "f = open('x', 'wb'); f.truncate(1 << 40); os.rename('x', {!r})"
LIES = {
    "a forged end": (END.format(FORGED), "Failed", "could not be read: exit_code, started, ended, peak_memory"),
    "a folder as its end": ("os.makedirs('exit.json/x')", "Completed", None),
    "no rights to its folder": ("os.chmod('.', 0)", "Completed", None),
    "what was kept for its end is gone": (
        "[os.unlink(n) for n in os.listdir('.') if n.startswith('.exit')]",
        "Completed",
        None,
    ),
    "a pipe as console": ("os.unlink('console.log'); os.mkfifo('console.log')", "Completed", None),
    "a console of a tebibyte": (SPARSE.format("console.log"), "Completed", None),
    "metrics without bottom": (
        """open('metrics.jsonl', 'w').write('{"kind":"metric","name":"a","value":' + '[' * 5000 + ']' * 5000 + '}')""",
        "Completed",
        None,
    ),
    "a folder that is gone": ("p = os.getcwd(); os.rename(p, p + '-away')", "Failed", "is gone"),
    "a link to another folder": (
        "p = os.getcwd(); os.rename(p, p + '-away'); os.symlink(p + '-away', p)",
        "Completed",
        None,
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_run_that_lies_is_recorded_and_the_next_one_works(lie: str, tmp_path: Path) -> None:
    code, status, reason = LIES[lie]
    folder = make_project(tmp_path / "project", {"liar.py": LIAR, "train.py": "print('honest')\n"})
    submitted = amltool(folder, "submit", "liar.py", "--", code, check=False)
    assert submitted.returncode in (0, 1), submitted.stderr
    shown = amltool(folder, "show", "@", "--json").stdout
    record = json.loads(shown)
    assert "\x1b" not in shown
    assert (record["script"], record["status"]) == ("liar.py", status), record
    assert reason is None or reason in record["reason"]
    assert not list(folder.glob(".git/amltool/runs/*/request.json"))
    for verb in ("runs", "show", "wait", "cancel"):
        assert amltool(folder, verb, *(["@"] if verb != "runs" else []), check=False).returncode in (0, 1)
    amltool(folder, "submit", "train.py")


def test_a_run_without_rights_tells_its_own_exit_code(tmp_path: Path) -> None:
    script = "import os, sys\nos.chmod('..', 0)\nsys.exit(7)\n"
    folder = make_project(tmp_path / "project", {"train.py": script})
    assert amltool(folder, "submit", "train.py", check=False).returncode == 7
