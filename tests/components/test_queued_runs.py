"""``maxConcurrentRuns`` of a machine over SSH: two clones, which are two clients of one user there, count together."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from amltool.commands.opening import open_project
from amltool.commands.submit import Submission, submit
from amltool.hosts.base import CommandResult
from amltool.hosts.ssh import SshHost
from amltool.targets.watcher import Silent
from tests.amltool_command import amltool
from tests.components.remote_projects import SAMPLED, make_of, processes_there, record, submitting
from tests.components.ssh_machine import SshMachine
from tests.repositories import git

SPAN = """
import os, sys, time
share = os.environ["AZUREML_NATIVE_SHARE_DIRECTORY"]
place = share + os.environ["AMLTOOL_RUN_ID"] + "." + str(os.getpid())
begun = time.time()
print("begun", flush=True)
time.sleep(float(sys.argv[1]))
while len(sys.argv) > 2 and not os.path.exists(share + sys.argv[2]):
    time.sleep(0.05)
with open(place, "w") as stream:
    stream.write("%r %r\\n" % (begun, time.time()))
"""
STAYS = "import time\nprint('begun', flush=True)\ntime.sleep(4711)\n"


@pytest.fixture
def clones(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """Of a project whose machine takes one run at once."""
    files = {"span.py": SPAN, "stays.py": STAYS}
    first = make_of(kind, request, tmp_path, files, maxConcurrentRuns=1)
    second = tmp_path / "second"
    git(tmp_path, "clone", "-q", str(first), str(second))
    return first, second


def start(project: Path, script: str, *words: str) -> dict[str, Any]:
    done = amltool(project, "submit", script, "--target", "vm", "--detach", "--json", "--", *words)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def spans(machine: SshMachine, *runs: dict[str, Any]) -> list[tuple[float, float]]:
    """When the scripts of these runs began and ended, over there; of each as often as it ran."""
    words = ["sh", "-c", f"cd {machine.home}/.azureml/share; find . -name '*-*-*.*' -exec grep -H . '{{}}' +"]
    lines = [line.split(":") for line in machine.execute(words)[1].splitlines()]
    found = [tuple(map(float, span.split())) for name, span in lines if any(run["run_id"] in name for run in runs)]
    return sorted((begun, end) for begun, end in found)


def containers(machine: SshMachine) -> list[str]:
    said = machine.execute(["sh", "-c", "docker ps -aq --filter label=amltool.run 2>/dev/null"])[1]
    return said.split()


def test_runs_of_two_clones_never_overlap_and_nothing_stays_over_there(
    clones: tuple[Path, Path], ssh_machine: SshMachine
) -> None:
    first, second = clones
    go = f"go-{uuid.uuid4().hex}"
    started = [(first, start(first, "span.py", "0", go))]
    started += [(project, start(project, "span.py", "0.3")) for project in (second, first, second)]
    ssh_machine.execute(["touch", f"{ssh_machine.home}/.azureml/share/local/default/project/{go}"])

    for project, run in started:
        amltool(project, "wait", run["run_id"])

    assert [run["status"] for _, run in started] == ["Running", "Queued", "Queued", "Queued"]
    found = spans(ssh_machine, *(run for _, run in started))
    assert len(found) == 4
    assert all(end <= begun for (_, end), (begun, _) in pairwise(found))
    assert [record(project, run["run_id"])["status"] for project, run in started] == ["Completed"] * 4
    assert ssh_machine.execute(["ls", f"{ssh_machine.home}/.amltool/turns/vm"]) == (0, "lock\n")
    assert containers(ssh_machine) == []


def test_a_queued_run_holds_no_container_and_a_canceled_one_never_starts(
    clones: tuple[Path, Path], kind: str, ssh_machine: SshMachine
) -> None:
    first, second = clones
    running, queued = start(first, "stays.py"), start(second, "span.py", "0")
    assert queued["status"] == "Queued"
    assert len(containers(ssh_machine)) == (1 if kind == "remotedocker" else 0)
    behind = start(first, "span.py", "0")

    amltool(second, "cancel", queued["run_id"])
    amltool(first, "cancel", running["run_id"])
    amltool(first, "wait", behind["run_id"])

    canceled = record(second, queued["run_id"])
    assert (canceled["status"], canceled["started"]) == ("Canceled", None)
    assert (len(spans(ssh_machine, behind)), len(spans(ssh_machine, queued))) == (1, 0)
    assert containers(ssh_machine) == []


def test_a_container_that_is_killed_makes_way_though_its_client_is_dead(
    clones: tuple[Path, Path], kind: str, ssh_machine: SshMachine
) -> None:
    first, second = clones
    client = submitting(first, "stays.py")
    client.prints("begun")
    client.kill()
    if kind == "remotedocker":
        [container] = containers(ssh_machine)
        assert ssh_machine.execute(["docker", "kill", container])[0] == 0
    else:
        ssh_machine.execute(["pkill", "-9", "-f", "bootstrap.py"])

    run = start(second, "span.py", "0")
    if kind == "remote":  # what is left of it is ended by its own clone only, which has the proof that it is its own
        record(first, str(client.run_id))

    amltool(second, "wait", run["run_id"])
    assert len(spans(ssh_machine, run)) == 1
    lost = record(first, str(client.run_id))
    assert lost["status"] == "Failed"
    assert [line for line in processes_there(ssh_machine) if "stays.py" in line] == []


@SAMPLED
def test_an_outage_while_a_run_waits_is_said_and_ends(clones: tuple[Path, Path], ssh_machine: SshMachine) -> None:
    first, second = clones
    running = start(first, "stays.py")["run_id"]
    client = submitting(second, "span.py", "0")
    client.says("Queued: 1 of 1 runs of vm are under way (maxConcurrentRuns).")
    ssh_machine.cut()
    client.says("is unreachable")
    ssh_machine.mend()
    client.says("It answers again.")
    amltool(first, "cancel", running)
    assert client.end() == 0, client.said
    assert client.printed == "begun\n"


@pytest.mark.parametrize(("limit", "questions"), [({}, []), ({"maxConcurrentRuns": 2}, ["ask", "leave"])])
def test_whose_turn_it_is_is_one_question_and_none_without_a_limit(
    ssh_machine: SshMachine,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: dict[str, int],
    questions: list[str],
) -> None:
    project = make_of("remote", request, tmp_path, {"span.py": SPAN}, **limit)
    asked: list[str] = []
    run = SshHost.run

    def counting(host: SshHost, command: Sequence[str], **options: Any) -> CommandResult:
        asked.extend(word for word in ("ask", "leave") if word in command)
        return run(host, command, **options)

    monkeypatch.setattr(SshHost, "run", counting)
    wanted = Submission(script="span.py", arguments=["0"], target="vm")
    assert submit(open_project(project), wanted, Silent()).record is not None
    assert asked == questions
