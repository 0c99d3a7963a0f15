"""A project with a ``tasks.py`` of a user's own tasks and samples of ours, and the two commands that run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

OUR_TASKS = '''
"""Sample tasks of our kind; each prints what it was given as one JSON document."""
from __future__ import annotations
import json, os, signal, sys, time
from enum import Enum
from invoke import Collection, Context
from amltool.errors import UserError
from amltool.tasks.arguments import remainder_arguments, task
from amltool.tasks.failures import Outcome

class Status(Enum):
    COMPLETED = "Completed"
    FAILED = "Failed"

def say(context, **values):
    words = [os.fsencode(word).hex() for word in remainder_arguments(context)]
    print(json.dumps(values | {"after": words}, default=lambda value: value.value))

@task(short={"run_configuration": "c", "quiet": "q", "number": "n"}, script_arguments=True,
      help={"script": "the script to run", "target": "where to run it"})
def submit(context: Context, script: str | None = None, *, target: str | None = None,
           run_configuration: str | None = None, param: tuple[str, ...] = (), detach: bool = False,
           quiet: bool = False, number: int = 1, clean: bool = True, download: str | bool | None = None) -> Outcome:
    """Run a script of this project."""
    say(context, script=script, target=target, run_configuration=run_configuration, param=param, detach=detach,
        quiet=quiet, number=number, clean=clean, download=download, dry=context.config.run.dry,
        echo=context.config.run.echo)
    return Outcome(0)

@task()
def runs(context: Context, *, limit: int = 20, rtol: float | None = None, status: Status | None = None,
         list: bool = False) -> None:
    """List the newest runs."""
    say(context, limit=limit, rtol=rtol, status=status, list=list)

@task(aliases=("diff",))
def compare(context: Context, first: str, *others: str, json: bool = False) -> None:
    """Compare runs."""
    say(context, first=first, others=others, json=json)

@task()
def attach(context: Context, name: str, *, type: str, address: str = "here") -> None:
    say(context, name=name, type=type, address=address)

@task()
def doctor(context: Context) -> None:
    import late
    say(context)

@task()
def fail(context: Context, how: str) -> Outcome | None:
    if how == "mistake":
        raise UserError("There is no run like that.", "See amltool runs")
    if how == "bug":
        raise KeyError("hunter2-canary" if "PASSWORD" not in os.environ else os.environ["PASSWORD"])
    if how == "full":
        raise OSError(28, "No space left on device", "/somewhere/file")
    if how == "wait":
        print("waiting", flush=True)
        for _ in range(600):  # a signal that comes just before a sleep begins does not end it
            time.sleep(0.1)
    if how == "much":
        for number in range(200_000):
            print("line", number)
    if how == "little":
        print("a line")
    if how == "pipe":
        raise BrokenPipeError(32, "Broken pipe")
    if how.startswith("exit"):
        return Outcome(int(how[4:]))
    if how.startswith("signal"):
        return Outcome.ended_by(int(how[6:]))

push = task(name="push")(lambda context: say(context, pushed=True))
ns = Collection(submit, runs, compare, attach, doctor, fail)
ns.add_collection(Collection("history", push))
'''

USER_TASKS = """
import sys
from invoke import task
from amltool.tasks.collection import collection
import our_tasks

@task
def build(c, where, fast=False, level=1):
    print("build", where, fast, level)

@task(optional=["log"])
def lint(c, log=None):
    print("lint", log)

ns = collection(__name__, our_tasks.ns)
"""

AMLTOOL = """
from amltool.tasks.startup import import_invoke
import_invoke()
from amltool.tasks.failures import front_door
with front_door():
    from amltool.tasks.program import AmltoolProgram
    import our_tasks
    AmltoolProgram(our_tasks.ns).run()
"""


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def given(self) -> dict[str, Any]:
        """What the sample task was given."""
        assert self.code == 0, self.err
        document: dict[str, Any] = json.loads(self.out)
        return document

    @property
    def after(self) -> list[str]:
        return [os.fsdecode(bytes.fromhex(word)) for word in self.given["after"]]


@dataclass(frozen=True)
class Project:
    folder: Path

    def command(self, program: str) -> list[str]:
        if program == "invoke":
            return [str(Path(sys.executable).with_name("invoke"))]
        return [sys.executable, "amltool_here.py"]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(self.folder)]), "TMPDIR": str(self.folder)}

    def run(self, program: str, *words: str | bytes, **environment: str) -> Ended:
        command: Sequence[str | bytes] = [*self.command(program), *words]
        ended = subprocess.run(command, cwd=self.folder, env=self.environment | environment, capture_output=True)
        return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def reports(self) -> list[Path]:
        return sorted(self.folder.glob("amltool-report-*"))


def make_project(folder: Path) -> Project:
    (folder / "our_tasks.py").write_text(OUR_TASKS)
    (folder / "late.py").write_text("")
    (folder / "tasks.py").write_text(USER_TASKS)
    (folder / "amltool_here.py").write_text(AMLTOOL)
    return Project(folder)
