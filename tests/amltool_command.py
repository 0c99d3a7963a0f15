"""Run the real `amltool` in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests import amltool_process
from tests.amltool_process import TOP
from tests.repositories import make_repository

LONGEST_S = 900
STARTED_ANEW: set[object] = set()
"""While there is anybody in it, each command is a new interpreter: its command line and variables are looked at."""

LOCAL = {
    "aml_config/local.compute": 'type: "local"\nnativeSharedDirectory: "~/.azureml/share/"\n',
    "aml_config/local.runconfig": (
        'ArgumentVector:\n- "$file"\nTarget: "local"\nFramework: "Python"\n'
        "PrepareEnvironment: false\nTrackedRun: true\n"
    ),
}


def amltool(
    folder: Path, *arguments: str, check: bool = True, input: bytes | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a task; with ``check`` a failure shows what it printed."""
    command = [sys.executable, "-m", "amltool", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(TOP), "COLUMNS": "200", **variables}
    if amltool_process.can_be_forked(environment) and not STARTED_ANEW:
        result = amltool_process.run(arguments, folder, environment, input, LONGEST_S)
    else:
        result = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, input=input, timeout=LONGEST_S
        )
    done = subprocess.CompletedProcess(
        command,
        result.returncode,
        result.stdout.decode("utf-8", "surrogateescape"),
        result.stderr.decode("utf-8", "surrogateescape"),
    )
    if check and done.returncode != 0:
        raise AssertionError(
            f"{' '.join(command[2:])} gave {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )
    return done


def submit(
    folder: Path, script: str = "train.py", *options: str, arguments: tuple[str, ...] = (), **variables: str
) -> dict[str, Any]:
    """Submit to the local target and give the record, however the script ended."""
    words = ["submit", script, "--target", "local", "--json", *options]
    done = amltool(folder, *words, *(("--", *arguments) if arguments else ()), check=False, **variables)
    try:
        record: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise AssertionError(f"{done.returncode}: {done.stdout[-2000:]}\n{done.stderr[-3000:]}") from None
    return record


def make_project(folder: Path, files: dict[str, bytes | str]) -> Path:
    """A repository that is an amltool project with a local target and these files, committed."""
    return make_repository(folder, {**LOCAL, **files})
