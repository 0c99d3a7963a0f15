"""Two tiers of tests: `make test` leaves those that need an installed service (`component`) to `make test-all`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.components import docker, hadoop_cluster

MARK = "component"
SSH = frozenset({"ssh_image", "_ssh_machine", "_ssh_jump", "ssh_machine", "ssh_jump", "ssh_host", "ssh_docker"})
INDEX = frozenset({"package_index"})
AZURITE = frozenset({"azurite", "own_azurite"})
SERVICES = (
    ("azurite", AZURITE),
    ("yarn", hadoop_cluster.FIXTURES),
    ("ssh", SSH),
    ("docker", docker.FIXTURES),
    ("package-index", INDEX),
)
"""The fixtures of each word of AMLTOOL_REQUIRE; a test counts for the first that it uses."""
REASONS = {
    "yarn": "a Hadoop cluster",
    "ssh": "a machine over SSH, which Docker makes",
    "docker": "a Docker daemon",
    "package-index": "a package index",
    "azurite": "Azurite, which npm brings",
}
_FOLDER = Path(__file__).parent
_SUMS = pytest.StashKey[Counter[str]]()


def mark(items: list[pytest.Item]) -> None:
    """Mark what needs a service: by its fixtures, by its folder, or by a mark of its own (`component("docker")`)."""
    for item in items:
        service = service_of(item)
        if service is not None and item.get_closest_marker(MARK) is None:
            item.add_marker(getattr(pytest.mark, MARK)(service))


def service_of(item: pytest.Item) -> str | None:
    """The service a test needs, as AMLTOOL_REQUIRE names it; nothing where it needs none."""
    given = item.get_closest_marker(MARK)
    if given is not None:
        return str(given.args[0])
    used = set(getattr(item, "fixturenames", ()))
    found = next((word for word, fixtures in SERVICES if used & fixtures), None)
    if found is None and item.path.is_relative_to(_FOLDER):
        return "ssh" if "kind" in used else "docker"
    return found


def count(config: pytest.Config, deselected: list[pytest.Item]) -> None:
    """Remember how many were left out for which service; a worker of pytest-xdist tells its controller at its end."""
    if f"not {MARK}" not in config.option.markexpr:
        return  # somebody chose tests by another mark
    here = [item for item in deselected if item.get_closest_marker("torture") is None]
    sums = Counter(service for item in here if (service := service_of(item)) is not None)
    if hasattr(config, "workeroutput"):
        sums += Counter(config.workeroutput.get(MARK, {}))
        config.workeroutput[MARK] = dict(sums)
    else:
        config.stash[_SUMS] = config.stash.get(_SUMS, Counter()) + sums


def take_over(config: pytest.Config, output: Mapping[str, object]) -> None:
    """Take the count of a worker over: every worker collects all tests, so that one count is the whole."""
    told = output.get(MARK)
    if isinstance(told, dict):
        config.stash[_SUMS] = Counter(told)


def summary(config: pytest.Config) -> list[str]:
    """A line for each service: how many tests were left out, and how to have them."""
    sums = config.stash.get(_SUMS, Counter())
    return [
        f"not run: {sums[word]} test{'s' * (sums[word] != 1)} that need {REASONS[word]} (make test-all runs them; "
        f"AMLTOOL_REQUIRE={word} makes what is missing)"
        for word in REASONS
        if sums[word]
    ]
