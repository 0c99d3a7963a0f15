"""Each extra is tried missing with the commands that need it: one sentence with the command to install it, no bug."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from amltool.extras import AZURE, CONDA, DOCKER, MODULES, SSH
from amltool.history.journal import RunRequest
from tests.amltool_command import amltool, make_project
from tests.waiting import wait_until

HIDDEN = """
import sys
class Hidden:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {modules!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden)
from amltool.__main__ import main
sys.argv[0] = "amltool"
main()
"""
RUNCONFIG = "ArgumentVector: [$file]\nTarget: {}\nFramework: Python\nPrepareEnvironment: true\n"
FILES: dict[str, bytes | str] = {
    "t.py": "import os, time\nwhile os.path.exists(os.environ['HOLD']): time.sleep(0.02)\n",
    "aml_config/local.compute": "type: local\n",
    "aml_config/docker.compute": "type: localdocker\nbaseDockerImage: python:3.11\n",
    "aml_config/docker.runconfig": RUNCONFIG.format("docker"),
    "aml_config/vm.compute": "type: remote\naddress: 127.0.0.1:9\nusername: ada\n",
    "aml_config/vm.runconfig": RUNCONFIG.format("vm"),
    "aml_config/vmdocker.compute": "type: remotedocker\naddress: 127.0.0.1:9\nusername: ada\nbaseDockerImage: x\n",
    "aml_config/vmdocker.runconfig": RUNCONFIG.format("vmdocker"),
}
OF_TARGET = {"docker": DOCKER, "vm": SSH, "vmdocker": SSH}


def without(extra: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a task where the modules of an extra cannot be imported."""
    program = HIDDEN.format(modules=set(MODULES[extra]))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200"}
    command = [sys.executable, "-c", program, *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("extras") / "project", FILES)


@pytest.mark.parametrize("target", OF_TARGET)
@pytest.mark.parametrize(
    "words",
    [
        ["submit", "t.py"],
        ["submit", "t.py", "--detach"],
        ["prepare"],
        ["prepare", "--check"],
        ["clean", "--environments"],
    ],
    ids=" ".join,
)
def test_what_needs_the_extra_says_how_to_install_it(project: Path, target: str, words: list[str]) -> None:
    extra = OF_TARGET[target]

    done = without(extra, project, *words, "--target", target)

    said = done.stdout + done.stderr
    assert f"pip install 'amltool[{extra}]'" in said
    assert "bug of its own" not in said
    assert done.returncode == 1 or words[0] == "clean"
    assert not list((project / ".git/amltool/runs").glob("*"))


@pytest.mark.parametrize("extra", [DOCKER, SSH])
@pytest.mark.parametrize("words", [["doctor"], ["targets", "--check"], ["check"]], ids=" ".join)
def test_what_looks_says_it_of_the_target_and_looks_on(project: Path, extra: str, words: list[str]) -> None:
    done = without(extra, project, *words, "--json")

    assert done.returncode in (0, 1)
    said = json.dumps(json.loads(done.stdout))
    assert f"pip install 'amltool[{extra}]'" in said
    assert "bug of its own" not in done.stderr


def test_attach_says_what_to_install(project: Path) -> None:
    done = without(SSH, project, "attach", "other", "--address", "127.0.0.1:9", "--username", "ada")
    assert done.returncode == 1
    assert "pip install 'amltool[ssh]'" in done.stderr


@pytest.mark.parametrize("words", [["submit", "t.py", "--target", "local"], ["check"], ["doctor"]], ids=" ".join)
def test_a_store_that_needs_the_extra_says_how_to_install_it(tmp_path: Path, words: list[str]) -> None:
    settings = "artifact_store: azure://account/container\n"
    folder = make_project(tmp_path / "project", {**FILES, "aml_config/project.yml": settings})

    done = without(AZURE, folder, *words)

    said = done.stdout + done.stderr
    assert "pip install 'amltool[azure]'" in said
    assert "bug of its own" not in said
    assert done.returncode == 1
    assert not list((folder / ".git/amltool/runs").glob("*"))


@pytest.mark.parametrize("extra", [DOCKER, SSH, CONDA, AZURE])
@pytest.mark.parametrize("words", [["runs"], ["targets"], ["--list"], ["clean"], ["history.check"]], ids=" ".join)
def test_what_needs_no_extra_goes_without(project: Path, extra: str, words: list[str]) -> None:
    done = without(extra, project, *words)
    assert done.returncode == 0, done.stderr
    assert "bug of its own" not in done.stderr


def _kill_driver(folder: Path, run_id: str) -> None:
    """End the process in the background that drives a run: it has read already what a test changes."""
    command = ["pgrep", "-f", f"amltool.tasks.background {folder} {run_id}"]

    def drivers() -> list[int]:
        return [int(each) for each in subprocess.run(command, capture_output=True, text=True).stdout.split()]

    wait_until(drivers)
    for process in drivers():
        os.kill(process, signal.SIGKILL)
    wait_until(lambda: not drivers())


@pytest.mark.parametrize("target", OF_TARGET)
def test_an_unfinished_run_waits_for_the_extra_and_is_not_lost(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLD", str(tmp_path / "hold"))
    (tmp_path / "hold").touch()
    folder = make_project(tmp_path / "project", FILES)
    run_id = json.loads(amltool(folder, "submit", "t.py", "--target", "local", "--detach", "--json").stdout)["run_id"]
    _kill_driver(folder, run_id)
    try:
        path = folder / ".git/amltool/runs" / run_id / "request.json"
        compute = str(FILES[f"aml_config/{target}.compute"])
        request = {**json.loads(path.read_text()), "target": target, "compute": compute}
        RunRequest(**{**request, "project": None})  # its keys are those of a request
        path.write_text(json.dumps(request))
        for words in (["wait", run_id], ["logs", run_id], ["show", run_id], ["runs"], ["cancel", run_id]):
            done = without(OF_TARGET[target], folder, *words)
            assert done.returncode in (0, 1), words
            said = done.stdout + done.stderr
            assert "bug of its own" not in said, words
            assert words[0] in ("runs", "show", "cancel") or f"amltool[{OF_TARGET[target]}]" in said, words
        assert path.exists()
    finally:
        path.write_text(json.dumps({**request, "target": "local", "compute": "type: local\n"}))
        (tmp_path / "hold").unlink()
    amltool(folder, "wait", run_id, check=False)
