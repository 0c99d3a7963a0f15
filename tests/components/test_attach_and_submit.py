"""The way of a new user: a machine that nobody here knew is attached, and the example runs there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.components.docker_projects import TOP, artifacts, show
from tests.components.ssh_machine import SshMachine
from tests.repositories import git, state_of

IRIS = Path(TOP) / "examples/iris"
INVOKE = str(Path(sys.executable).with_name("invoke"))
BUILD_S = 1200


@pytest.fixture
def iris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example, as a user copies it: a repository with one commit, and no folder of SSH in the home."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    folder = tmp_path / "iris"
    shutil.copytree(IRIS, folder, ignore=shutil.ignore_patterns("__pycache__", "outputs", "logs"))
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "iris")
    return folder


def invoke(folder: Path, *words: str, **variables: str) -> str:
    """A task as the project's own `tasks.py` has it; what it printed."""
    environment = {**os.environ, "PYTHONPATH": TOP, "COLUMNS": "200", **variables}
    done = subprocess.run(
        [INVOKE, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=BUILD_S
    )
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def attach(folder: Path, machine: SshMachine, *options: str, address: str | None = None) -> str:
    words = ["attach", "vm", "--address", address or machine.address, "--username", machine.user, *options]
    return invoke(folder, *words, "--accept-host-key", machine.fingerprint)


def was_trained(folder: Path, machine: SshMachine, address: str, into: Path) -> dict[str, object]:
    """The record of the newest run, which has to be the example's over there, with all that it left here."""
    found = show(folder)
    assert (found["status"], found["target"], found["host"]) == ("Completed", "vm", address)
    assert found["commit"] == git(folder, "rev-parse", "HEAD").strip() or found["dirty"]
    assert found["metrics"]["accuracy"]["last"] > 0.8
    assert {"outputs/model.pkl", "console.log", "environment.lock.json"} <= artifacts(found).keys()
    invoke(folder, "outputs", "@", f"--download={into}")
    assert next(into.rglob("model.pkl")).stat().st_size > 100
    lock = json.loads(next(into.rglob("environment.lock.json")).read_bytes())
    assert "scikit-learn" in json.dumps(lock)
    shared = found["shared_folder"]["host_path"]
    assert machine.execute(["ls", shared])[1].split() == ["best_accuracy.csv"]
    return found


@pytest.mark.timeout(BUILD_S * 2)
def test_the_example_runs_in_docker_over_there(
    iris: Path, ssh_docker: SshMachine, python_image: str, package_index: None, tmp_path: Path
) -> None:
    said = attach(
        iris, ssh_docker, "--type", "remotedocker", "--key-file", str(ssh_docker.key_file),
        "--base-docker-image", python_image,
    )  # fmt: skip
    assert "can be used: Docker " in said
    before = state_of(iris)

    invoke(iris, "submit", "--target", "vm", "train.py")

    assert state_of(iris) == before
    found = was_trained(iris, ssh_docker, ssh_docker.address, tmp_path / "fetched")
    assert found["target_type"] == "remotedocker"
    assert str(found["environment"]["image"]).startswith("sha256:")  # type: ignore[index]
    assert not (iris / "outputs").exists()


@pytest.mark.timeout(BUILD_S * 2)
def test_the_example_runs_with_python_over_there(
    iris: Path, ssh_machine: SshMachine, ca_certificates: Path | None, package_index: None, tmp_path: Path
) -> None:
    attach(iris, ssh_machine, "--type", "remote", "--key-file", str(ssh_machine.key_file))
    compute = iris / "aml_config/vm.compute"
    built = {**yaml.safe_load(compute.read_text()), "userManagedEnvironment": False}
    if ca_certificates is not None:
        built["caCertificates"] = str(ca_certificates)
    compute.write_text(yaml.safe_dump(built))

    invoke(iris, "submit", "--target", "vm", "train.py")

    assert was_trained(iris, ssh_machine, ssh_machine.address, tmp_path / "fetched")["target_type"] == "remote"


@pytest.mark.timeout(BUILD_S * 2)
@pytest.mark.parametrize("kind", ["remote", "remotedocker"])
def test_a_machine_behind_another_is_attached_and_runs(
    kind: str, iris: Path, ssh_docker: SshMachine, ssh_jump: SshMachine, python_image: str, isolated_home: Path
) -> None:
    ssh_docker.only_from(ssh_jump.address)
    (isolated_home / ".ssh").mkdir(mode=0o700)
    (isolated_home / ".ssh/config").write_text(
        f"Host bench\n  HostName {ssh_docker.address}\n  ProxyJump door\n  IdentityFile {ssh_docker.key_file}\n"
        f"Host door\n  HostName {ssh_jump.address}\n  IdentityFile {ssh_jump.key_file}\n  User {ssh_jump.user}\n"
    )
    (iris / "aml_config/conda_dependencies.yml").write_text("dependencies:\n- python\n")
    (iris / "train.py").write_text("open('outputs/model.txt', 'w').write('trained')\nprint('trained')\n")
    image = ["--base-docker-image", python_image] if kind == "remotedocker" else []
    keys = ["--accept-host-key", ssh_jump.fingerprint]

    attach(iris, ssh_docker, "--type", kind, *keys, *image, address="bench")
    printed = invoke(iris, "submit", "--target", "vm", "train.py")

    assert "trained" in printed
    found = show(iris)
    assert (found["status"], found["host"], found["target_type"]) == ("Completed", "bench", kind)
    assert "outputs/model.txt" in artifacts(found)
