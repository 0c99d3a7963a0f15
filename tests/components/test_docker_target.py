"""The Docker target as a user has it: the real command line, real images, real containers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.amltool_command import amltool
from tests.components.docker_projects import (
    PLAIN,
    RUN_CONFIGURATION,
    TOP,
    DockerProjects,
    artifact,
    artifacts,
    client,
    completed,
    give,
    show,
    submit,
    unfinished,
)
from tests.components.users import Unprivileged
from tests.environments.wheel_index import wheel, wheel_name
from tests.repositories import commit_all, make_repository, state_of, write_files

TRAIN = """
import os, sys
from amltool import tracking
tracking.log_metric("accuracy", 0.5)
open("outputs/result.txt", "w").write("result")
open("logs/training.log", "w").write("log")
print("trained in", os.getcwd(), "with", sys.argv[1:])
"""
BUILDING = "Building the execution environment"


def test_a_run_is_recorded_with_what_it_left_and_what_it_ran_in(
    docker_projects: DockerProjects, tmp_path: Path
) -> None:
    folder = docker_projects.make(tmp_path, {"train.py": TRAIN})
    before = state_of(folder)

    done = submit(folder, arguments=("--name", "with blank", "ümläut\n"))

    record = completed(done)
    assert done.printed == "trained in /azureml-run/work with ['--name', 'with blank', 'ümläut\\n']\n"
    assert (record["target"], record["target_type"], record["exit_code"]) == ("docker", "localdocker", 0)
    assert record["metrics"]["accuracy"]["last"] == 0.5
    assert {"outputs/result.txt", "logs/training.log", "console.log", "environment.lock.json"} <= {*artifacts(record)}
    environment = record["environment"]
    assert environment["image"] in docker_projects.images().values()
    assert environment["lock_sha256"] == artifacts(record)["environment.lock.json"]
    lock = json.loads(artifact(folder, "environment.lock.json", tmp_path / "downloaded"))
    assert lock["base_image"]["name"] == docker_projects.base_image
    assert f"image {environment['image'].removeprefix('sha256:')[:12]}" in amltool(folder, "show", "@").stdout
    assert docker_projects.containers() == []
    assert unfinished(folder) == []
    assert state_of(folder) == before


def test_the_second_submit_builds_nothing_and_says_nothing_of_it(
    docker_projects: DockerProjects, tmp_path: Path
) -> None:
    folder = docker_projects.make(
        tmp_path, {"train.py": TRAIN}, conda=PLAIN + f"variables: {{OF: {docker_projects.name}}}\n"
    )
    first = submit(folder)
    images, moment = docker_projects.images(), time.time()

    second = submit(folder)

    assert BUILDING in first.said
    assert second.said.splitlines()[0].startswith("RunId: ")
    assert BUILDING not in second.said
    assert "  | " not in second.said
    assert completed(second)["environment"] == completed(first)["environment"]
    assert docker_projects.images() == images
    assert (docker_projects.made(moment), docker_projects.made(moment, label="amltool.run")) == (0, 1)


def test_a_change_of_code_does_not_rebuild_and_a_change_of_dependencies_does(
    docker_projects: DockerProjects, tmp_path: Path
) -> None:
    folder = docker_projects.make(tmp_path, {"train.py": TRAIN})
    image = completed(submit(folder))["environment"]["image"]

    write_files(folder, {"train.py": TRAIN + "print('one line more')\n"})
    changed = submit(folder)

    assert "one line more" in changed.printed
    assert completed(changed)["environment"]["image"] == image

    conda = f"# a comment\n{PLAIN}- pip\n- pip:\n  - ../wheels/{wheel_name('blot', '1.0')}\n"
    files: dict[str, bytes | str] = {
        "aml_config/conda_dependencies.yml": conda,
        f"wheels/{wheel_name('blot', '1.0')}": wheel("blot", "1.0"),
        "train.py": "import blot\nprint('blot', blot.VERSION)\n",
    }
    write_files(folder, files)
    another = submit(folder)

    assert another.printed == "blot 1.0\n", another.said
    assert completed(another)["environment"]["image"] != image


def test_two_run_configurations_with_the_same_dependencies_share_an_image(
    docker_projects: DockerProjects, tmp_path: Path
) -> None:
    other = {
        "aml_config/night.runconfig": RUN_CONFIGURATION.format("docker", "true")
        + 'CondaDependenciesFile: "aml_config/night.yml"\n',
        "aml_config/night.yml": "# the same, said otherwise\nname: night\n" + PLAIN,
    }
    folder = docker_projects.make(tmp_path, {"train.py": TRAIN, **other})
    by_day = completed(submit(folder, "train.py", "-c", "docker"))
    by_night = submit(folder, "train.py", "-c", "night")

    assert completed(by_night)["run_configuration"] == "night"
    assert BUILDING not in by_night.said
    assert by_night.record["environment"] == by_day["environment"]


def test_all_files_of_a_run_are_its_users(
    docker_projects: DockerProjects, unprivileged: Unprivileged, tmp_path: Path
) -> None:
    script = TRAIN + "import getpass; print(os.getuid(), os.getgid(), getpass.getuser(), os.environ['HOME'])\n"
    script += "open(os.path.expanduser('~/kept'), 'w').write('x'); os.makedirs('outputs/deep/er')\n"
    folder = docker_projects.make(unprivileged.home, {"train.py": script})
    give(folder, unprivileged)

    command = [sys.executable, "-m", "amltool", "submit", "train.py", "--target", "docker"]
    done = unprivileged.run(command, cwd=folder, PYTHONPATH=TOP)

    assert done.returncode == 0, done.stderr
    assert f"{unprivileged.uid} {unprivileged.gid} " in done.stdout
    owners = {path.lstat().st_uid for path in unprivileged.home.rglob("*")}
    assert owners == {unprivileged.uid}
    [run] = (unprivileged.home / ".amltool/runs").iterdir()
    assert (run / "work/outputs/deep/er").is_dir()


class TestTheSharedFolder:
    WRITES = """
import os, sys
place = os.environ["AZUREML_NATIVE_SHARE_DIRECTORY"]
assert place.endswith("/"), place
with open(place + "seen.txt", "a") as file:
    file.write(sys.argv[1] + " ")
print(open(place + "seen.txt").read())
"""

    def test_passes_files_between_local_and_docker_runs(
        self, docker_projects: DockerProjects, tmp_path: Path, isolated_home: Path
    ) -> None:
        folder = docker_projects.make(tmp_path, {"train.py": self.WRITES})

        local = submit(folder, target="local", arguments=("local",))
        docker = submit(folder, arguments=("docker",))
        again = submit(folder, target="local", arguments=("again",))

        assert local.printed == "local \n", local.said
        assert docker.printed == "local docker \n", docker.said
        assert again.printed == "local docker again \n", again.said
        seen = completed(docker)["shared_folder"]
        assert seen["run_path"] == "/azureml-share/"
        assert seen["host_path"] == completed(local)["shared_folder"]["host_path"]
        assert seen["host_path"].startswith(f"{isolated_home}/.azureml/share/")
        assert [file["size"] for file in seen["at_start"]] == [len("local ")]
        assert [file["size"] for file in seen["at_end"]] == [len("local docker ")]

    def test_is_missing_without_shared_volumes_and_that_is_said_to_who_looks_for_it(
        self, docker_projects: DockerProjects, tmp_path: Path
    ) -> None:
        looks = "import os\nprint(os.environ.get('AZUREML_NATIVE_SHARE_DIRECTORY'))\n"
        files: dict[str, bytes | str] = {
            "fails.py": self.WRITES,
            "copes.py": looks,
            "breaks.py": "raise SystemExit(3)\n",
        }
        folder = docker_projects.make(tmp_path, files, sharedVolumes=False)

        fails, copes, breaks = submit(folder, "fails.py"), submit(folder, "copes.py"), submit(folder, "breaks.py")

        assert fails.record["status"] == "Failed"
        assert "KeyError" in fails.printed
        assert "aml_config/docker.compute says `sharedVolumes: false`" in fails.said
        assert "Set it to true" in fails.said
        assert completed(copes)["shared_folder"] is None
        assert copes.printed == "None\n"
        assert (breaks.record["exit_code"], breaks.exit_code) == (3, 3)
        assert "sharedVolumes" not in copes.said + breaks.said

    def test_without_it_a_run_is_copied_in_and_what_it_left_is_copied_out(
        self, docker_projects: DockerProjects, tmp_path: Path
    ) -> None:
        files: dict[str, bytes | str] = {"train.py": TRAIN, "data/one.txt": "1"}
        mounted = docker_projects.make(tmp_path / "mounted", files)
        copied = docker_projects.make(tmp_path / "copied", files, sharedVolumes=False)

        expected, found = submit(mounted), submit(copied)

        assert found.printed == expected.printed
        assert completed(found)["metrics"] == completed(expected)["metrics"]
        lines = {"metrics.jsonl"}  # it holds times
        assert {*artifacts(found.record)} == {*artifacts(expected.record)}
        for path in {*artifacts(expected.record)} - lines:
            assert artifacts(found.record)[path] == artifacts(expected.record)[path], path
        assert docker_projects.containers() == []


class TestIris:
    """The example, as in the README: a fresh folder, repository and home."""

    def test_it_trains_in_a_container_and_again_without_a_build(
        self,
        docker_projects: DockerProjects,
        package_index: None,
        ca_certificates: Path | None,
        unprivileged: Unprivileged,
    ) -> None:
        folder = unprivileged.home / docker_projects.name
        shutil.copytree(Path(TOP) / "examples/iris", folder)
        make_repository(folder)
        commit_all(folder)
        with (folder / "aml_config/conda_dependencies.yml").open("a") as file:  # else an image of it may be there
            file.write(f"variables: {{OF: {docker_projects.name}-iris}}\n")
        give(folder, unprivileged)
        base = {"AMLTOOL_BASE_DOCKER_IMAGE": docker_projects.base_image, "PYTHONPATH": TOP}
        if ca_certificates is not None:  # as a shell has it on a network with certificates of its own
            base["SSL_CERT_FILE"] = str(ca_certificates)

        def says(*command: str) -> subprocess.CompletedProcess[str]:
            done = unprivileged.run([sys.executable, "-m", *command], cwd=folder, **base)
            assert done.returncode == 0, done.stderr + done.stdout
            return done

        says("amltool", "init")
        first = says("invoke", "submit", "--target", "docker", "train.py")
        second = says("invoke", "submit", "--target", "docker", "train.py")

        assert BUILDING in first.stderr
        assert BUILDING not in second.stderr
        assert "Accuracy on 45 flowers" in second.stdout
        one, two = (json.loads(says("invoke", "show", run, "--json").stdout) for run in ("@2", "@"))
        assert one["status"] == two["status"] == "Completed"
        assert one["metrics"]["accuracy"]["last"] > 0.8
        assert one["environment"] == two["environment"]
        assert one["environment"]["image"] in docker_projects.images().values()
        made = ("outputs/model.pkl", "outputs/confusion_matrix.png")
        assert [artifacts(one)[path] for path in made] == [artifacts(two)[path] for path in made]
        assert artifacts(one)["environment.lock.json"] == one["environment"]["lock_sha256"]
        assert {path.lstat().st_uid for path in unprivileged.home.rglob("*")} == {unprivileged.uid}


class TestNewEnvironments:
    def test_are_built_once_by_all_that_want_them_at_the_same_time(
        self, docker_projects: DockerProjects, tmp_path: Path
    ) -> None:
        conda = PLAIN + f"variables: {{OF: {docker_projects.name}-once}}\n"
        script = "import os; print(open('/opt/amltool/environment/pyvenv.cfg').read() and os.environ['OF'])\n"
        folder = docker_projects.make(tmp_path, {"train.py": script}, conda=conda)
        words = [("submit", "train.py", "--target", "docker")] * 2 + [("prepare", "--target", "docker")]
        before, moment = len(docker_projects.images()), time.time()

        clients = [client(folder, *each) for each in words]
        ended = [(process.communicate(timeout=240), process.returncode) for process in clients]

        assert [code for _, code in ended] == [0, 0, 0], ended
        assert docker_projects.made(moment) == 1
        assert len(docker_projects.images()) == before + 1
        assert docker_projects.builds() == []
        images = {show(folder, run)["environment"]["image"] for run in ("@", "@2")}
        assert len(images) == 1

    def test_ctrl_c_during_a_build_leaves_nothing(self, docker_projects: DockerProjects, tmp_path: Path) -> None:
        conda = f"{PLAIN}- pip\n- pip:\n  - blot\nvariables: {{OF: {docker_projects.name}-interrupted}}\n"
        hangs = {"indexUrl": "http://192.0.2.1/simple", "trustedHosts": ["192.0.2.1"]}  # TEST-NET: nobody answers
        folder = docker_projects.make(tmp_path, {"train.py": TRAIN}, conda=conda, pip=hangs)
        before = docker_projects.images()
        process = client(folder, "submit", "train.py", "--target", "docker")
        assert process.stderr is not None
        said = b""
        while b"install the pip packages" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line

        os.killpg(process.pid, 2)
        _, rest = process.communicate(timeout=240)

        assert process.returncode == 130, said + rest
        assert b"Traceback" not in rest
        assert docker_projects.builds() == []
        assert docker_projects.images() == before
        assert unfinished(folder) == []
        [run] = json.loads(amltool(folder, "runs", "--json").stdout)
        assert (run["status"], run["reason"]) == ("Canceled", "interrupted before it started")


def test_docker_that_a_run_configuration_of_azureml_core_enables_is_a_run_in_docker(
    docker_projects: DockerProjects, tmp_path: Path
) -> None:
    docker = {"enabled": True, "baseImage": docker_projects.base_image, "shmSize": "1g"}
    configuration = {
        "script": "train.py",
        "target": "local",
        "autoPrepareEnvironment": True,
        "environment": {"docker": docker},
    }
    files: dict[str, bytes | str] = {
        "train.py": TRAIN,
        "aml_config/local.compute": "type: local\n",
        "aml_config/core.runconfig": json.dumps(configuration),
    }
    folder = docker_projects.make(tmp_path, files)

    record = json.loads(amltool(folder, "submit", "-c", "core", "--json").stdout)

    assert (record["target"], record["target_type"], record["status"]) == ("local", "localdocker", "Completed")
    assert record["environment"]["image"] in docker_projects.images().values()
