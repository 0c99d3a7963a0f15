"""Environments in folders: built once, never half, never twice at once; told apart from what somebody changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from amltool.configuration.compute import ComputeTarget, ComputeType
from amltool.environments.folder import Choice, FolderEnvironment
from amltool.environments.lock import LockSource, read_lock
from amltool.errors import UserError
from amltool.hosts.local import LocalHost
from tests.environments.conftest import PLANTS, asking, plant_at
from tests.environments.test_steps import lives
from tests.waiting import wait_until

COMPUTE = ComputeTarget(name="local", type=ComputeType.LOCAL)
TEXT = "dependencies: [python]\nvariables: {GREETING: hello}\n"
ROOT = Path(__file__).parents[2]


class Quick:
    """A kind that is quick to make: an environment without packages. ``before`` is a shell command run first."""

    source = LockSource.VENV

    def __init__(self, before: str = "true", counted: Path | None = None) -> None:
        self.before, self.counted = before, counted

    def choose(self, host, recipe):
        return Choice("quick", sys.executable, ("3.11", "build"))

    def fetch(self, host, recipe, steps):
        raise AssertionError("there is nothing to fetch")

    def make(self, steps, recipe, choice, prefix):
        if self.counted is not None:
            with self.counted.open("a") as stream:
                stream.write("built\n")
        steps.run("Making it", [choice.python, "-m", "venv", "--without-pip", str(prefix)], "")
        steps.run("Waiting", ["sh", "-c", self.before], "Do it well.")

    def variables(self, prefix):
        return {"OWN": str(prefix)}


def quick(**settings) -> FolderEnvironment:
    kind = Quick(**settings)
    return FolderEnvironment(COMPUTE, (kind, kind))


def folder(host: LocalHost) -> Path:
    return Path(host.root) / "environments"


def names(host: LocalHost) -> list[str]:
    return sorted(path.name for path in folder(host).iterdir() if path.name != "locks")


class TestFinding:
    def test_nothing_is_found_before_it_is_built_and_nothing_is_written(self, host):
        assert quick().find(host, asking(TEXT)) is None
        assert not folder(host).exists()

    def test_what_was_built_is_found_and_is_the_same(self, host, told):
        built = quick().prepare(host, asking(TEXT), told)
        assert quick().find(host, asking(TEXT)) == built
        assert quick().prepare(host, asking(TEXT), told) == built
        assert len(told.said) == 1

    def test_it_says_how_to_run_python_in_it(self, host, told):
        built = quick().prepare(host, asking(TEXT), told)
        prefix = folder(host) / built.key / "environment"
        assert built.python == [str(prefix / "bin" / "python")]
        assert built.variables["GREETING"] == "hello"
        assert built.variables["OWN"] == str(prefix)
        assert built.variables["PATH"].startswith(f"{prefix}/bin:")
        result = host.run([*built.python, "-c", "import sys; print(sys.prefix)"])
        assert result.stdout.decode().strip() == str(prefix)

    def test_spark_submit_is_that_of_the_environment(self, host, told):
        kind = quick(before="touch ../environment/bin/spark-submit; chmod +x ../environment/bin/spark-submit")
        built = kind.prepare(host, asking(TEXT), told)
        assert built.spark_submit == [str(folder(host) / built.key / "environment" / "bin" / "spark-submit")]
        assert quick().prepare(host, asking("dependencies: [python]"), told).spark_submit == []

    def test_where_it_has_no_spark_a_run_that_wants_it_gets_the_one_the_compute_target_names(
        self, host, told, tmp_path
    ):
        program = tmp_path / "spark-submit"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        compute = replace(COMPUTE, spark_submit_location=str(program))
        environment = FolderEnvironment(compute, (Quick(), Quick()))
        request = replace(asking(TEXT), framework="PySpark")
        assert environment.prepare(host, request, told).spark_submit == [str(program)]
        assert environment.prepare(host, asking(TEXT), told).spark_submit == []

    def test_finding_it_costs_no_process(self, host, told, monkeypatch):
        quick().prepare(host, asking(TEXT), told)
        _settle(folder(host))
        quick().find(host, asking(TEXT))  # notes the new time stamps
        monkeypatch.setattr(LocalHost, "run", _no_process)
        assert quick().find(host, asking(TEXT)) is not None

    def test_one_that_somebody_installed_into_is_built_again(self, host, told):
        built = quick().prepare(host, asking(TEXT), told)
        [packages] = (folder(host) / built.key / "environment").glob("lib/python*/site-packages")
        (packages / "more-1.0.dist-info").mkdir()
        (packages / "more-1.0.dist-info" / "METADATA").write_text("Name: more\nVersion: 1.0\n")
        assert quick().find(host, asking(TEXT)) is None
        again = quick().prepare(host, asking(TEXT), told)
        assert again.lock == built.lock
        assert read_lock(again.lock).packages == ()

    def test_one_where_only_time_stamps_changed_is_kept(self, host, told):
        built = quick().prepare(host, asking(TEXT), told)
        [packages] = (folder(host) / built.key / "environment").glob("lib/python*/site-packages")
        (packages / "__pycache__").mkdir()
        assert quick().find(host, asking(TEXT)) == built

    def test_one_whose_python_is_gone_is_built_again(self, host, told):
        built = quick().prepare(host, asking(TEXT), told)
        Path(built.python[0]).unlink()
        _settle(folder(host))
        assert quick().find(host, asking(TEXT)) is None
        assert quick().prepare(host, asking(TEXT), told) == built

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
    def test_a_damaged_marker_is_none(self, host, told, content):
        built = quick().prepare(host, asking(TEXT), told)
        (folder(host) / built.key / "environment.json").write_bytes(content)
        assert quick().find(host, asking(TEXT)) is None

    @pytest.mark.parametrize("plant", PLANTS)
    def test_what_took_the_place_of_a_marker_is_none(self, host, told, tmp_path, plant):
        built = quick().prepare(host, asking(TEXT), told)
        victim = plant_at(folder(host) / built.key / "environment.json", plant, tmp_path)
        assert quick().find(host, asking(TEXT)) is None
        assert quick().prepare(host, asking(TEXT), told) == built
        assert victim.read_text() == "precious"


class TestBuilding:
    def test_one_that_fails_says_why_and_leaves_nothing(self, host, told):
        with pytest.raises(UserError, match="Waiting") as error:
            quick(before="echo no space for numpy; exit 4").prepare(host, asking(TEXT), told)
        assert "no space for numpy" in error.value.what
        assert names(host) == []

    def test_ctrl_c_leaves_nothing_and_no_process(self, host, told, tmp_path):
        environment = quick(before=f"echo $$ > {tmp_path}/pid; sleep 60")
        timer = threading.Thread(target=_interrupt_when, args=(tmp_path / "pid",))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            environment.prepare(host, asking(TEXT), told)
        timer.join()
        assert names(host) == []
        wait_until(lambda: not lives(int((tmp_path / "pid").read_text())))

    def test_one_that_was_killed_is_done_again(self, host, told, tmp_path):
        client = _client(host, before=f"touch {tmp_path}/begun; sleep 60")
        _wait_for(tmp_path / "begun")
        client.send_signal(signal.SIGKILL)
        client.wait()
        [left] = names(host)
        assert quick().find(host, asking(TEXT)) is None
        assert quick().prepare(host, asking(TEXT), told).key == left
        assert quick().find(host, asking(TEXT)) is not None

    def test_two_at_once_build_it_once(self, host, tmp_path):
        counted = tmp_path / "counted"
        clients = [_client(host, before="sleep 0.5", counted=counted) for _ in range(2)]
        assert [client.wait(120) for client in clients] == [0, 0]
        assert counted.read_text() == "built\n"

    def test_who_waits_is_told(self, host, told, tmp_path):
        client = _client(host, before=f"touch {tmp_path}/begun; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done")
        _wait_for(tmp_path / "begun")
        waiting = threading.Thread(target=quick().prepare, args=(host, asking(TEXT), told))
        waiting.start()
        wait_until(lambda: bool(told.said))
        (tmp_path / "go").touch()
        waiting.join(120)
        assert client.wait(120) == 0
        assert len(told.said) == 1
        assert "waiting for it" in told.said[0]

    def test_a_root_that_cannot_be_written_is_a_clear_error(self, told, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(UserError, match="Cannot write"):
            quick().prepare(LocalHost(tmp_path / "file"), asking(TEXT), told)

    def test_from_a_lock_that_cannot_be_met_it_says_what_differs(self, host, told):
        built = quick().prepare(host, asking(TEXT), told)
        other = built.lock.replace(b'"packages":[]', b'"packages":[{"name":"six","version":"1.0"}]')
        rebuilt = quick().prepare(host, asking(TEXT, lock=other), told)
        assert rebuilt.notices == ("The execution environment is not quite that of the lock: six 1.0 is gone.",)
        assert quick().prepare(host, asking(TEXT, lock=built.lock), told).notices == ()

    def test_from_a_lock_the_environment_that_has_it_already_is_taken(self, host, told, tmp_path):
        counted = tmp_path / "counted"
        built = quick(counted=counted).prepare(host, asking(TEXT), told)
        again = quick(counted=counted).prepare(host, asking("dependencies: [six]", lock=built.lock), told)
        assert again == built
        assert quick().find(host, asking("dependencies: [six]", lock=built.lock)) == built
        assert counted.read_text() == "built\n"

    def test_from_a_lock_it_is_built_where_it_is_not_there_any_more(self, host, told, tmp_path):
        built = quick().prepare(host, asking(TEXT), told)
        elsewhere = LocalHost(tmp_path / "elsewhere")
        assert quick().find(elsewhere, asking(TEXT, lock=built.lock)) is None
        assert quick().prepare(elsewhere, asking(TEXT, lock=built.lock), told).lock == built.lock


class TestKept:
    def test_what_is_there_is_told_with_its_size_and_can_be_removed(self, host, told):
        built = quick().prepare(host, asking(TEXT), told)
        [kept] = quick().kept(host)
        assert (kept.key, kept.place) == (built.key, str(folder(host) / built.key))
        assert kept.size > 500
        quick().remove(host, kept)
        quick().remove(host, kept)
        assert quick().kept(host) == []
        assert quick().find(host, asking(TEXT)) is None

    def test_what_an_interrupted_build_left_is_told_as_that(self, host):
        (folder(host) / ("0" * 32) / "build").mkdir(parents=True)
        [kept] = quick().kept(host)
        assert "interrupted" in kept.reason

    def test_one_that_is_being_built_is_neither_told_nor_removed(self, host, told, tmp_path):
        built = quick().prepare(host, asking(TEXT), told)
        [kept] = quick().kept(host)
        (folder(host) / built.key / "environment.json").unlink()
        client = _client(host, before=f"touch {tmp_path}/begun; sleep 60")
        _wait_for(tmp_path / "begun")
        try:
            assert quick().kept(host) == []
            with pytest.raises(UserError, match="being built"):
                quick().remove(host, kept)
        finally:
            client.kill()
            client.wait()

    def test_none_were_ever_built(self, host):
        assert quick().kept(host) == []


def _client(host: LocalHost, *, before: str, counted: Path | None = None) -> subprocess.Popen[bytes]:
    """Another process that builds the same."""
    script = (
        "from tests.environments.test_folder import *; from tests.environments.conftest import Told\n"
        f"counted = {str(counted) if counted else None!r}\n"
        f"quick(before={before!r}, counted=Path(counted) if counted else None)"
        f".prepare(LocalHost(Path({str(host.root)!r})), asking(TEXT), Told())\n"
    )
    return subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)


def _wait_for(path: Path) -> None:
    wait_until(path.exists)


def _interrupt_when(path: Path) -> None:
    while not (path.exists() and path.read_text().strip()):
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


def _settle(top: Path) -> None:
    then = time.time() - 3600
    for path in (top, *top.rglob("*")):
        os.utime(path, (then, then), follow_symlinks=False)


def _no_process(*_: object, **__: object) -> None:
    raise AssertionError("a process was started")
