"""A secret reaches the script and nothing else: no object, note, journal, log, command line or store."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.amltool_command import amltool, make_project
from tests.repositories import git
from tests.waiting import wait_until
from tests.walking import contents, files_below

CANARY = "cAnArY/7f3+9!secret value"
SCRIPT = """
import base64, os, time, urllib.parse
secret = os.environ["DATABASE_PASSWORD"]
open(os.path.expanduser("~/seen"), "w").write(str(len(secret)))
print("plain", secret, flush=True)
print("base64", base64.b64encode(secret.encode()).decode())
print("percent", urllib.parse.quote(secret, safe=""))
while os.path.exists(os.path.expanduser("~/hold")):
    time.sleep(0.02)
"""
CONFIGURATION = (
    'ArgumentVector:\n- "$file"\nTarget: local\nFramework: Python\nEnvironmentVariables:\n'
    "  DATABASE_PASSWORD: ${env:CANARY_PASSWORD}\n"
)
FORMS = [CANARY.encode(), base64.b64encode(CANARY.encode()), quote(CANARY, safe="").encode()]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project", {"train.py": SCRIPT, "aml_config/secret.runconfig": CONFIGURATION})


def hits(content: bytes) -> list[bytes]:
    return [form for form in FORMS if form in content]


def everything_written(folder: Path, home: Path) -> bytes:
    """Every Git object of the repository, and every file under ``.git`` and the home folder."""
    listed = git(folder, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").splitlines()
    objects = subprocess.run(
        ["git", "cat-file", "--batch"],
        cwd=folder,
        input="\n".join(listed).encode() + b"\n",
        capture_output=True,
        check=True,
    ).stdout
    return objects + b"".join(contents(files_below(folder, home)))


def test_a_secret_is_in_nothing_that_is_written(project: Path, isolated_home: Path) -> None:
    done = amltool(project, "submit", "train.py", "-c", "secret", "--json", CANARY_PASSWORD=CANARY)
    assert (isolated_home / "seen").read_text() == str(len(CANARY)), "the script itself has it"
    assert json.loads(done.stdout)["run_configuration_content"]["EnvironmentVariables"] == {
        "DATABASE_PASSWORD": "${env:CANARY_PASSWORD}"
    }
    assert "[redacted]" in amltool(project, "logs", "@").stdout
    assert hits((done.stdout + done.stderr).encode()) == []
    assert hits(everything_written(project, isolated_home)) == []


def test_a_secret_is_on_no_command_line_of_ours_and_in_no_journal(project: Path, isolated_home: Path) -> None:
    (isolated_home / "hold").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "amltool", "submit", "train.py", "-c", "secret"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "CANARY_PASSWORD": CANARY},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until((isolated_home / "seen").exists)
    lines = b"".join(contents(process / "cmdline" for process in Path("/proc").glob("[0-9]*")))
    assert b"bootstrap" in lines, "the run goes on"
    assert hits(lines) == []
    assert hits(everything_written(project, isolated_home)) == []
    (isolated_home / "hold").unlink()
    assert process.wait(120) == 0


def test_a_variable_that_is_not_set_is_named_and_nothing_starts(project: Path) -> None:
    done = amltool(project, "submit", "train.py", "-c", "secret", check=False)
    assert done.returncode == 1
    assert "CANARY_PASSWORD" in done.stderr
    assert list((project / ".git/amltool/runs").glob("*")) == []


def test_a_plain_password_in_a_compute_is_refused_without_repeating_it(project: Path) -> None:
    (project / "aml_config/vm.compute").write_text(
        f"type: remotedocker\naddress: vm.example.org\nusername: ada\npassword: {CANARY}\n"
    )
    (project / "aml_config/vm.runconfig").write_text("ArgumentVector:\n- $file\nTarget: vm\nFramework: Python\n")
    git(project, "add", "aml_config/vm.runconfig")
    git(project, "commit", "-q", "-m", "vm")
    for arguments, exit_code in ((["submit", "train.py", "--target", "vm"], 1), (["check"], 1), (["targets"], 0)):
        done = amltool(project, *arguments, check=False)
        assert done.returncode == exit_code
        assert "vm.compute:4" in done.stdout + done.stderr
        assert hits((done.stdout + done.stderr).encode()) == []
