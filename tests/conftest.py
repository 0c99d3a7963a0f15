"""Every test has its own HOME, Git configuration and temporary folder, and never sees the developer's."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.components import docker, docker_service, order, places, reruns, room, tiers
from tests.components import hadoop_cluster as hadoop
from tests.components.azurite import azurite, own_azurite  # noqa: F401 (pytest finds fixtures by name)
from tests.components.docker import (  # noqa: F401 (pytest finds fixtures by name)
    _private_docker,
    ca_certificates,
    conda_image,
    docker_daemon,
    package_index,
    private_docker_fixture,
    python_image,
    spark_image,
    unprivileged,
)
from tests.components.hadoop_cluster import (  # noqa: F401 (pytest finds fixtures by name)
    _blob_cluster,
    _hadoop_cluster,
    blob_cluster,
    hadoop_cluster,
    hadoop_cluster_alone,
    head_node,
)
from tests.components.required import is_required
from tests.components.ssh_machine import (  # noqa: F401 (pytest finds fixtures by name)
    _ssh_jump,
    _ssh_machine,
    ssh_docker,
    ssh_host,
    ssh_image,
    ssh_jump,
    ssh_machine,
)

hypothesis.settings.register_profile(
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("busy")  # an example may take long because of others; CI has the profile of its name
IDENTITY = {"name": "Ada Lovelace", "email": "ada@example.org"}


@pytest.fixture(scope="session", autouse=True)
def _git_identity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is made for several tests comes before the home of each: it has an identity wherever the tests run."""
    configuration = tmp_path_factory.mktemp("git") / "config"
    configuration.write_text("[user]\n\tname = {name}\n\temail = {email}\n".format(**IDENTITY))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
        yield


@pytest.fixture(autouse=True)
def isolated_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(
        f"[user]\n\tname = {IDENTITY['name']}\n\temail = {IDENTITY['email']}\n"
        '[init]\n\tdefaultBranch = main\n[protocol "file"]\n\tallow = always\n[gc]\n\tauto = 0\n'
    )
    for name in [n for n in os.environ if n.startswith(("GIT_", "AMLTOOL_", "AZUREML_", "INVOKE_"))]:
        if name != "AMLTOOL_REQUIRE":
            monkeypatch.delenv(name)
    for name in ("XDG_CONFIG_HOME", "DOCKER_CONFIG", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    if places.DOCKER_HOST:  # also where a context in the developer's home said so
        monkeypatch.setenv("DOCKER_HOST", places.DOCKER_HOST)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return home


def pytest_configure(config: pytest.Config) -> None:
    """A shell starts what it puts in the background with Ctrl-C ignored, and every process of ours would inherit it."""
    reruns.configure(config)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Mark tests before others choose by their marks, and order those that are left."""
    _mark(items)
    yield
    items[:] = order.long_first(items, int(getattr(config, "workerinput", {}).get("workercount", 1)))


def _mark(items: list[pytest.Item]) -> None:
    """The time limit of a test counts its fixtures: the first one that needs an image may have to make it."""
    tiers.mark(items)
    reruns.mark(items)
    for item in items:
        if not hadoop.FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.timeout(hadoop.LIMIT_S))
    if is_required("docker"):
        for item in items:
            if not docker.FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
                item.add_marker(pytest.mark.timeout(docker.MAKING_S))


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: object) -> None:
    """A test begins that has a time limit."""
    reruns.remember_limit(item, settings)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    reruns.limit_again(item)


def pytest_deselected(items: list[pytest.Item]) -> None:
    if items:
        tiers.count(items[0].config, list(items))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist has ended."""
    tiers.take_over(node.config, getattr(node, "workeroutput", None) or {})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        said = room.explanation(report.longreprtext, room.full())
        if said:
            report.sections.append((room.TITLE, said))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in tiers.summary(config):
        terminalreporter.write_line(line, yellow=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # the workers of pytest-xdist are told apart by it
        hadoop.stop_started()
        docker_service.stop_started()
