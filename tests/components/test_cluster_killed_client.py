"""`kill -9` of a client whose run is on a Hadoop cluster: another waits for its end, and it was submitted once."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.amltool_command import amltool
from tests.components.cluster_projects import MODES, console, make, shown
from tests.components.docker_projects import artifact, artifacts, runs, unfinished
from tests.components.hadoop_cluster import HadoopCluster
from tests.components.remote_projects import Client, step_of, when_at
from tests.repositories import git, state_of

ONCE = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("begun", flush=True)
spark.range(100).coalesce(1).write.json("outputs/numbers")  # fails where it was written before
open("outputs/result.txt", "w").write(str(spark.read.json("outputs/numbers").count()))
print("ended", flush=True)
"""
STEPS = {"requested": 0.3, "prepared": 0.5, "placed": 1.5, "launched": 25.0, "ended": 1.0, "collected": 0.2}
"""After each step, how long the client lives at most, in seconds."""
CONNECTING_S = 1.0
"""Before a run stands in the journal."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A client is killed so many seconds after its journal said that a step was done (or, with none, its start)."""

    step: str | None
    after_s: float


def moments(seed: int, count: int) -> list[Moment]:
    """Random points of all steps: a third of them while the script is started and runs."""
    chance = random.Random(seed)
    steps: list[str | None] = [None, *STEPS, "launched", "placed", "launched"]
    found = []
    for place in range(count):
        step = steps[place % len(steps)]
        found.append(Moment(step, chance.uniform(0.0, STEPS[step] if step else CONNECTING_S)))
    return found


def kill_at(moment: Moment, mode: str, project: Path, cluster: HadoopCluster, into: Path) -> str:
    """Kill a client, and see that its run comes to its end as if nothing had happened; the step that was done."""
    before, known = state_of(project), {run["run_id"] for run in runs(project)}
    client = Client(project, "submit", "once.py", "--target", mode)
    if moment.step is not None:
        when_at(project, client, moment.step)
    time.sleep(moment.after_s)
    client.kill()
    found = step_of(project)

    for run_id in unfinished(project):
        done = amltool(project, "wait", run_id, check=False)
        assert done.returncode == 0, f"{moment}\n{done.stdout}\n{done.stderr}"

    new = {run["run_id"] for run in runs(project)} - known
    assert len(new) <= 1
    assert client.run_id is None or new == {client.run_id}, f"{moment}: it was acknowledged"
    assert found is None or new == {found[0]}
    for run_id in new:
        record = shown(project, run_id)
        assert record["status"] == "Completed", f"{moment}: {record['reason']}"
        assert [each["id"] for each in cluster.applications(run_id)] == [record["application_id"]], moment
        assert {"outputs/result.txt", "outputs/numbers/_SUCCESS", "console.log"} <= {*artifacts(record)}, moment
        assert artifact(project, "outputs/result.txt", into / run_id) == b"100"
        assert [line for line in console(project, run_id).splitlines() if line in ("begun", "ended")] == [
            "begun",
            "ended",
        ]
        cluster.nothing_is_left(run_id)
    assert state_of(project) == before
    return "nothing" if found is None else found[1]


def is_sound(project: Path) -> None:
    git(project, "fsck", "--strict")
    amltool(project, "history.check")


@pytest.mark.parametrize(("mode", "moment"), [("client", Moment("placed", 0.6)), ("cluster", Moment("launched", 4.0))])
def test_a_run_whose_client_is_killed_is_submitted_once_and_comes_back(
    mode: str, moment: Moment, tmp_path: Path, hadoop_cluster: HadoopCluster
) -> None:
    project = make(tmp_path / "project", hadoop_cluster, {"once.py": ONCE})

    kill_at(moment, mode, project, hadoop_cluster, tmp_path)

    is_sound(project)


@pytest.mark.torture
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("mode", MODES)
def test_twenty_clients_killed_at_random_points_lose_and_repeat_nothing(
    mode: str, tmp_path: Path, hadoop_cluster: HadoopCluster
) -> None:
    seed = int(os.environ.get("AMLTOOL_SEED", "10"))
    project = make(tmp_path / "project", hadoop_cluster, {"once.py": ONCE})

    where = Counter(kill_at(moment, mode, project, hadoop_cluster, tmp_path) for moment in moments(seed, 20))

    is_sound(project)
    print(f"20 kills, mode {mode}, seed {seed}: {dict(sorted(where.items()))}")  # noqa: T201
