"""`kill -9` of a client whose run is on another machine, at every step: the run ends recorded, and happened once."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.amltool_command import amltool
from tests.components.docker_projects import artifacts, runs, unfinished
from tests.components.remote_projects import (
    KINDS,
    lines,
    make_of,
    nothing_is_left,
    record,
    step_of,
    submitting,
    when_at,
)
from tests.components.ssh_machine import SshMachine
from tests.repositories import git, state_of

SENT = 4 << 20
"""Bytes that every submit has to send: placing takes long enough to be killed in."""
MOMENTS = {"requested": 0.1, "prepared": 0.35, "placed": 1.1, "launched": 0.8, "ended": 0.1, "collected": 0.08}
"""After each step, how long the next may last: within that time the client is killed."""
CONNECTING_S = 0.9
"""Before a run stands in the journal: the program starts, connects, takes the snapshot."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A client is killed so many seconds after its journal said that a step was done (or, with none, its start).

    After ``placed`` it is so many times what the start of an undisturbed run took.
    """

    step: str | None
    after_s: float


@dataclass(frozen=True, slots=True)
class Killed:
    """Where the kill found the run: the step that was done, and whether its script was under way."""

    step: str
    has_begun: bool = False

    def __str__(self) -> str:
        return f"{self.step}, begun" if self.has_begun and self.step == "placed" else self.step


def moments(seed: int, each: int) -> list[Moment]:
    """Random points, so many for each step; starting a run is the one where most can go wrong."""
    chance = random.Random(seed)
    points = [Moment(None, chance.uniform(0.0, CONNECTING_S)) for _ in range(each)]
    for step, longest_s in MOMENTS.items():
        count = 2 * each if step == "placed" else each
        points += [Moment(step, chance.uniform(0.0, longest_s)) for _ in range(count)]
    chance.shuffle(points)
    return points


def essence(found: dict[str, Any]) -> dict[str, Any]:
    """What has to be as in an undisturbed run."""
    return {
        "status": found["status"],
        "exit_code": found["exit_code"],
        "signal": found["signal"],
        "reason": found["reason"],
        "omitted": found["omitted"],
        "artifacts": {path: digest for path, digest in artifacts(found).items() if path != "environment.lock.json"},
    }


class Killing:
    """Kills clients of one project, and looks what becomes of their runs."""

    def __init__(self, project: Path, machine: SshMachine, seed: int) -> None:
        self._project, self._machine = project, machine
        self._bytes = random.Random(seed)
        self._change()
        client = submitting(project, "once.py")
        when_at(project, client, "placed")  # so short a step may pass unseen here: then the kills come at its beginning
        begun = time.monotonic()
        when_at(project, client, "launched")
        self._start_s = time.monotonic() - begun
        assert client.end() == 0, client.said
        self.expected = essence(record(project, client.run_id or ""))
        assert self.expected["status"] == "Completed"

    def at(self, moment: Moment) -> Killed:
        """Kill a client at a moment: afterwards all is as if nothing had happened, or as if nothing had been asked."""
        self._change()
        before, known = state_of(self._project), {run["run_id"] for run in runs(self._project)}
        client = submitting(self._project, "once.py")
        if moment.step is not None:
            when_at(self._project, client, moment.step)
        time.sleep(moment.after_s * (self._start_s if moment.step == "placed" else 1.0))
        client.kill()
        found = step_of(self._project)
        killed = Killed("nothing" if found is None else found[1], found is not None and self._has_begun(found[0]))

        for run_id in unfinished(self._project):
            done = amltool(self._project, "wait", run_id, check=False)
            assert done.returncode == 0, f"{moment} {killed}\n{done.stdout}\n{done.stderr}"
        new = {run["run_id"] for run in runs(self._project)} - known

        assert len(new) <= 1
        assert client.run_id is None or new == {client.run_id}, f"{moment}: it was acknowledged"
        assert found is None or new == {found[0]}
        for run_id in new:
            self._is_as_undisturbed(run_id, moment)
        assert state_of(self._project) == before
        nothing_is_left(self._project, self._machine)
        return killed

    def _change(self) -> None:
        (self._project / "large.bin").write_bytes(self._bytes.randbytes(SENT))

    def _has_begun(self, run_id: str) -> bool:
        place = f"{self._machine.home}/.amltool/runs/{run_id}/start.json"
        return self._machine.execute(["test", "-e", place])[0] == 0

    def _is_as_undisturbed(self, run_id: str, moment: Moment) -> None:
        found = record(self._project, run_id)
        assert essence(found) == self.expected, moment
        assert amltool(self._project, "logs", run_id).stdout == lines(5)
        once = f"{found['shared_folder']['host_path']}{run_id}"
        assert self._machine.execute(["cat", once]) == (0, "once\n"), moment


@pytest.fixture(params=KINDS)
def killing(request: pytest.FixtureRequest, ssh_machine: SshMachine, tmp_path: Path) -> Killing:
    project = make_of(request.param, request, tmp_path)
    return Killing(project, ssh_machine, seed=5)


def is_sound(project: Path) -> None:
    git(project, "fsck", "--strict")
    assert json.loads(amltool(project, "history.check", "--json").stdout)["ok"]


@pytest.mark.parametrize("seed", range(1))
def test_a_client_that_is_killed_loses_nothing_and_starts_nothing_twice(
    killing: Killing, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    for step in ("prepared", "placed", "ended"):
        killing.at(Moment(step, chance.uniform(0.0, MOMENTS[step])))
    is_sound(tmp_path / "project")


@pytest.mark.torture
@pytest.mark.timeout(1200)
def test_thirty_clients_that_are_killed_at_random_points_of_every_step(killing: Killing, tmp_path: Path) -> None:
    seed = int(os.environ.get("AMLTOOL_SEED", "20"))
    points = moments(seed, each=4)
    where = Counter(str(killing.at(moment)) for moment in points)
    chance = random.Random(seed)
    while where["placed, begun"] < 3 and len(points) < 60:  # between the start there and the word of it here
        points.append(Moment("placed", chance.uniform(0.5, 1.2)))
        where[str(killing.at(points[-1]))] += 1
    is_sound(tmp_path / "project")
    print(f"{len(points)} kills (seed {seed}): {dict(sorted(where.items()))}")  # noqa: T201
    assert len(points) >= 30
    assert {"nothing", "requested", "prepared", "placed", "placed, begun", "launched", "ended"} <= {*where}
