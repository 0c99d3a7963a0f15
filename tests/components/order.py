"""The order of the tests: the longest modules come first and on different workers, so that none works alone at the end.

With ``--dist worksteal`` each worker of pytest-xdist has an equal stretch of the tests, begins at its head, and takes
from the tail of another's when it is done.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.components import hadoop_cluster

CLUSTER = "the cluster"
LONG_S = {
    CLUSTER: 480,
    "components/test_spark_in_docker.py": 240,
    "components/test_attach_and_submit.py": 200,
    "components/test_queued_runs.py": 200,
    "components/test_docker_target.py": 160,
    "components/test_remote_faults.py": 160,
    "components/test_remote_cleaning.py": 120,
    "components/test_remote_cancel.py": 100,
    "components/test_docker_faults.py": 100,
    "components/test_remote_killed_client.py": 90,
    "components/test_remote_conda.py": 60,
    "components/test_hostile_scripts_there.py": 60,
}
"""Seconds that modules take on a quiet machine, about; all that needs the Hadoop cluster is one."""


def long_first(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """Give each worker some of the long modules, at the head of its stretch; one module stays together."""
    if workers < 2:
        return list(items)
    modules: dict[str, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(_module(item), []).append(item)
    stretches: list[list[pytest.Item]] = [[] for _ in range(workers)]
    seconds = [0] * workers
    longest = sorted(LONG_S.keys() & modules.keys(), key=lambda name: (-LONG_S[name], name))
    for name in longest:
        least = seconds.index(min(seconds))
        stretches[least] += modules.pop(name)
        seconds[least] += LONG_S[name]
    short = [item for module in modules.values() for item in module]
    found: list[pytest.Item] = []
    for at, stretch in enumerate(stretches):
        room = (len(items) - len(found)) // (workers - at) - len(stretch)
        found += stretch + short[: max(room, 0)]
        short = short[max(room, 0) :]
    return found + short


def _module(item: pytest.Item) -> str:
    needs_cluster = not hadoop_cluster.FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))
    return CLUSTER if needs_cluster else f"{item.path.parent.name}/{item.path.name}"
