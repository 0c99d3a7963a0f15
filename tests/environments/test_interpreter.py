"""The user's interpreter: which one is meant, and what its lock says, without asking it twice."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import msgspec
import pytest

from amltool.environments import interpreter as module
from amltool.environments.base import EnvironmentRequest
from amltool.environments.interpreter import UserInterpreter, find_interpreter, lock_of
from amltool.environments.lock import compare_locks, editable_packages, lock_from
from amltool.errors import UserError
from tests.environments.conftest import PLANTS, plant_at


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def made_once(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("interpreter") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder


@pytest.fixture
def venv(made_once, tmp_path) -> Path:
    """A virtual environment of the test's own that was made a while ago."""
    folder = tmp_path / "venv"
    shutil.copytree(made_once, folder, symlinks=True)
    settle(folder)
    return folder


def settle(folder: Path) -> None:
    """Make everything below look as if it had not changed for an hour (but never as it looked before)."""
    then = time.time() - 3600 + time.perf_counter() % 100
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (then, then), follow_symlinks=False)


def python(venv: Path) -> Path:
    return venv / "bin" / "python"


def site_packages(venv: Path) -> Path:
    [folder] = venv.glob("lib/python*/site-packages")
    return folder


def install(venv: Path, name: str, version: str, direct_url: str | None = None) -> Path:
    folder = site_packages(venv) / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nVersion: 9 (text)\n")
    if direct_url is not None:
        (folder / "direct_url.json").write_text(direct_url)
    return folder


def packages(lock) -> dict[str, str]:
    return {package.name: package.version for package in lock.packages}


@pytest.fixture
def starts(monkeypatch) -> list[Path]:
    """The interpreters that were asked."""
    asked: list[Path] = []
    answer = module._answer

    def counted(interpreter, *rest):
        asked.append(interpreter)
        return answer(interpreter, *rest)

    monkeypatch.setattr(module, "_answer", counted)
    return asked


class TestFinding:
    def folder_with(self, tmp_path, *names: str) -> str:
        for name in names:
            (tmp_path / name).symlink_to(sys.executable)
        return str(tmp_path)

    def test_python_is_python_where_there_is_one(self, tmp_path):
        path = self.folder_with(tmp_path, "python", "python3")
        assert find_interpreter("python", path) == tmp_path / "python"

    def test_python_is_else_python3(self, tmp_path):
        assert find_interpreter("python", self.folder_with(tmp_path, "python3")) == tmp_path / "python3"

    def test_python_is_else_our_own(self, tmp_path):
        assert find_interpreter("python", str(tmp_path)) == Path(sys.executable)

    def test_another_name_is_looked_up(self, tmp_path):
        assert find_interpreter("python3.99", self.folder_with(tmp_path, "python3.99")) == tmp_path / "python3.99"

    def test_a_path_is_itself_and_stays_a_link(self, venv):
        assert find_interpreter(str(python(venv)), "") == python(venv)

    def test_a_path_may_start_at_home(self, isolated_home):
        (isolated_home / "python").symlink_to(sys.executable)
        assert find_interpreter("~/python", "") == isolated_home / "python"

    @pytest.mark.parametrize("location", ["python3.99", "/nowhere/python", "~/nowhere", "./python", "no\0name"])
    def test_one_that_is_not_there_is_a_clear_error(self, tmp_path, location):
        with pytest.raises(UserError, match="There is no interpreter"):
            find_interpreter(location, str(tmp_path))

    def test_a_file_that_cannot_be_run_is_not_taken(self, tmp_path):
        (tmp_path / "python").write_text("no program")
        assert find_interpreter("python", str(tmp_path)) == Path(sys.executable)

    def test_a_shim_is_asked_which_interpreter_it_picks(self, tmp_path, venv):
        shim = tmp_path / "python"
        shim.write_text(f'#!/bin/sh\necho picked >&2\nexec {python(venv)} "$@"\n')
        shim.chmod(0o755)
        assert find_interpreter("python", str(tmp_path)) == python(venv)

    def test_a_shim_that_picks_nothing_is_passed_over_for_python(self, tmp_path):
        (tmp_path / "python").write_text("#!/bin/sh\necho no version is set >&2\nexit 127\n")
        (tmp_path / "python").chmod(0o755)
        assert find_interpreter("python", self.folder_with(tmp_path, "python3")) == tmp_path / "python3"

    def test_a_shim_that_was_asked_for_and_picks_nothing_is_a_clear_error(self, tmp_path):
        (tmp_path / "py").write_text("#!/bin/sh\necho no version is set >&2\nexit 127\n")
        (tmp_path / "py").chmod(0o755)
        with pytest.raises(UserError, match="no version is set"):
            find_interpreter(str(tmp_path / "py"), "")


class TestLock:
    def test_it_holds_what_the_interpreter_is(self, venv, cache):
        content = msgspec.json.decode(lock_of(python(venv), cache, os.environ).content)
        assert content["python"]["executable"] == str(python(venv))
        assert content["python"]["version"] == platform.python_version()
        assert content["platform"]["machine"] == platform.machine()

    def test_it_holds_every_distribution_with_its_version(self, cache):
        """The standard library's own reading is the oracle, in the interpreter of these tests."""
        mine = packages(lock_of(Path(sys.executable), cache, os.environ))
        script = (
            "from importlib.metadata import distributions as d; print(*{x.metadata['Name'] for x in d()}, sep='\\n')"
        )
        names = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, cwd="/", check=True
        ).stdout
        assert mine == {name: metadata.version(name) for name in names.split()}

    def test_the_same_environment_gives_the_same_lock(self, venv, cache, tmp_path):
        first, second = lock_of(python(venv), cache, os.environ), lock_of(python(venv), tmp_path / "other", os.environ)
        assert first == second

    @pytest.mark.parametrize("plant", PLANTS)
    def test_what_took_the_place_of_a_kept_lock_is_passed_over(self, venv, cache, tmp_path, plant):
        first = lock_of(python(venv), cache, os.environ)
        [kept] = (cache / "interpreters").iterdir()
        victim = plant_at(kept, plant, tmp_path)
        assert lock_of(python(venv), cache, os.environ) == first
        assert victim.read_text() == "precious"

    def test_packages_of_a_folder_are_told_with_their_url(self, venv, cache):
        install(venv, "mine", "1.0", '{"url": "file:///src/mine", "dir_info": {"editable": true}}')
        install(venv, "theirs", "2.0", '{"url": "https://example.org/x.git", "vcs_info": {"commit_id": "abc"}}')
        install(venv, "broken", "3.0", "[not json")
        lock = lock_of(python(venv), cache, os.environ)
        assert [package.name for package in editable_packages(lock.content)] == ["mine"]
        urls = {package.name: package.url for package in lock.packages}
        assert urls["mine"] == "file:///src/mine"
        assert urls["theirs"] == "https://example.org/x.git@abc"
        assert urls["broken"] is None

    def test_packages_installed_the_old_way_are_found(self, venv, cache, tmp_path):
        source = tmp_path / "source"
        (source / "mine.egg-info").mkdir(parents=True)
        (source / "mine.egg-info" / "PKG-INFO").write_text("Name: mine\nVersion: 1.5\n")
        (site_packages(venv) / "mine.egg-link").write_text(f"{source}\n.")
        (site_packages(venv) / "easy-install.pth").write_text(f"{source}\n")
        (site_packages(venv) / "old-0.1.egg-info").write_text("Name: old\nVersion: 0.1\n")
        lock = lock_of(python(venv), cache, os.environ)
        assert packages(lock) == {"mine": "1.5", "old": "0.1"}
        assert [package.name for package in editable_packages(lock.content)] == ["mine"]

    def test_packages_on_pythonpath_are_seen_as_the_run_sees_them(self, venv, cache, tmp_path):
        extra = tmp_path / "extra" / "more-1.0.dist-info"
        extra.mkdir(parents=True)
        (extra / "METADATA").write_text("Name: more\nVersion: 1.0\n")
        assert packages(lock_of(python(venv), cache, os.environ)) == {}
        seen = lock_of(python(venv), cache, {**os.environ, "PYTHONPATH": str(extra.parent)})
        assert packages(seen) == {"more": "1.0"}

    def test_modules_of_the_current_folder_are_not_run(self, venv, cache, tmp_path, monkeypatch):
        (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
        monkeypatch.chdir(tmp_path)
        assert lock_of(python(venv), cache, os.environ).version == platform.python_version()

    def test_a_sitecustomize_that_prints_does_no_harm(self, venv, cache):
        (site_packages(venv) / "sitecustomize.py").write_text("print('hello'); print('no newline', end='')")
        assert lock_of(python(venv), cache, os.environ).version == platform.python_version()

    @pytest.mark.parametrize("version", ["3.6", "3.8", "3.13"])
    def test_other_pythons_can_be_asked(self, cache, version):
        found = sorted(Path(os.environ.get("PYENV_ROOT", "/nonexistent")).glob(f"versions/{version}.*/bin/python"))
        if not found:
            pytest.skip(f"no Python {version} under PYENV_ROOT")
        assert lock_of(found[0], cache, os.environ).version.startswith(version)

    def test_a_program_that_is_no_interpreter_is_a_clear_error(self, cache):
        with pytest.raises(UserError, match="cannot be used"):
            lock_of(Path("/bin/true"), cache, os.environ)

    def test_one_that_is_gone_is_a_clear_error(self, cache, tmp_path):
        with pytest.raises(UserError, match="it is not there"):
            lock_of(tmp_path / "gone", cache, os.environ)


class TestCache:
    def test_the_second_time_no_process_is_started(self, venv, cache, starts):
        first = lock_of(python(venv), cache, os.environ)
        assert lock_of(python(venv), cache, os.environ) == first
        assert len(starts) == 1

    def test_it_takes_less_than_two_milliseconds(self, cache):
        lock_of(Path(sys.executable), cache, os.environ)
        taken = []
        for _ in range(20):
            start = time.perf_counter()
            lock_of(Path(sys.executable), cache, os.environ)
            taken.append(time.perf_counter() - start)
        assert min(taken) < 0.002

    def test_a_package_that_is_installed_is_seen(self, venv, cache):
        lock_of(python(venv), cache, os.environ)
        install(venv, "numpy", "1.26.4")
        assert packages(lock_of(python(venv), cache, os.environ)) == {"numpy": "1.26.4"}

    def test_a_package_that_is_exchanged_is_seen(self, venv, cache):
        old = install(venv, "numpy", "1.26.4")
        settle(venv)
        before = lock_of(python(venv), cache, os.environ)
        shutil.rmtree(old)
        install(venv, "numpy", "2.0.0")
        after = lock_of(python(venv), cache, os.environ)
        assert compare_locks(before.content, after.content) == ["numpy 1.26.4 -> 2.0.0"]

    def test_an_environment_that_changed_just_now_is_not_kept(self, venv, cache, starts, monkeypatch):
        """It may change again within the tick of the file system's clock."""
        monkeypatch.setattr(module, "SETTLED_NS", 60_000_000_000)
        install(venv, "numpy", "1.26.4")
        lock_of(python(venv), cache, os.environ)
        lock_of(python(venv), cache, os.environ)
        assert len(starts) == 2

    def test_a_folder_added_by_a_path_file_is_seen(self, venv, cache, tmp_path):
        lock_of(python(venv), cache, os.environ)
        folder = tmp_path / "linked" / "more-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Name: more\nVersion: 1.0\n")
        (site_packages(venv) / "more.pth").write_text(f"{folder.parent}\n")
        assert packages(lock_of(python(venv), cache, os.environ)) == {"more": "1.0"}

    def test_two_environments_of_one_interpreter_are_kept_apart(self, venv, made_once, cache):
        install(venv, "numpy", "1.26.4")
        settle(venv)
        for _ in range(2):
            assert packages(lock_of(python(venv), cache, os.environ)) == {"numpy": "1.26.4"}
            assert packages(lock_of(python(made_once), cache, os.environ)) == {}

    @pytest.mark.parametrize(
        "content", [b"", b"{", b'{"lock": {}, "stamps": []}', b'{"lock": 3, "stamps": {}}', b"\xff"]
    )
    def test_a_damaged_cache_is_made_anew(self, venv, cache, starts, content):
        first = lock_of(python(venv), cache, os.environ)
        [kept] = (cache / "interpreters").iterdir()
        kept.write_bytes(content)
        assert lock_of(python(venv), cache, os.environ) == first
        assert len(starts) == 2

    def test_a_cache_that_cannot_be_written_only_costs_time(self, venv, tmp_path):
        (tmp_path / "file").write_text("in the way")
        assert lock_of(python(venv), tmp_path / "file", os.environ).version == platform.python_version()


class TestComparing:
    def lock(self, **changes) -> bytes:
        content = {
            "v": 1,
            "python": {"executable": "/usr/bin/python", "version": "3.11.2", "build": "3.11.2 (main)"},
            "platform": {"system": "linux", "machine": "x86_64"},
            "packages": [{"name": "numpy", "version": "1.26.4"}, {"name": "typing_extensions", "version": "4.0"}],
        }
        return msgspec.json.encode({**content, **changes})

    def test_equal_locks_do_not_differ(self):
        assert compare_locks(self.lock(), self.lock()) == []

    def test_packages_are_told_by_name_whatever_its_spelling(self):
        other = self.lock(
            packages=[
                {"name": "Typing-Extensions", "version": "4.1"},
                {"name": "scipy", "version": "1.0"},
            ]
        )
        assert compare_locks(self.lock(), other) == [
            "numpy 1.26.4 is gone",
            "scipy 1.0 is new",
            "Typing-Extensions 4.0 -> 4.1",
        ]

    def test_the_interpreter_and_the_platform_are_told(self):
        other = self.lock(
            python={"executable": "/usr/bin/python", "version": "3.12.0", "build": "3.12.0 (main)"},
            platform={"system": "linux", "machine": "aarch64"},
        )
        assert compare_locks(self.lock(), other) == [
            "python version 3.11.2 -> 3.12.0",
            "platform machine x86_64 -> aarch64",
        ]

    def test_another_source_of_the_same_version_is_told(self):
        other = self.lock(
            packages=[
                {"name": "numpy", "version": "1.26.4", "url": "file:///numpy", "editable": True},
                {"name": "typing_extensions", "version": "4.0"},
            ]
        )
        assert compare_locks(self.lock(), other) == ["numpy 1.26.4: an index -> file:///numpy (editable)"]

    def test_conda_packages_are_told(self):
        assert compare_locks(self.lock(conda=["mkl-1-0"]), self.lock(conda=["mkl-2-0"])) == [
            "conda mkl-1-0 is gone",
            "conda mkl-2-0 is new",
        ]

    @pytest.mark.parametrize("content", [b"", b"[]", b'{"packages": 3}', b"\xff"])
    def test_a_lock_that_cannot_be_read_still_differs(self, content):
        assert compare_locks(self.lock(), content) == ["the environment locks differ"]
        assert editable_packages(content) == []


def test_prepared_names_the_interpreter_its_lock_and_what_is_editable(venv, tmp_path):
    install(venv, "mine", "1.0", '{"url": "file:///src/mine", "dir_info": {"editable": true}}')
    host = SimpleNamespace(root=PurePosixPath(tmp_path / "root"))
    prepared = UserInterpreter(str(python(venv)), host).prepare(host, EnvironmentRequest(read={}.get), print)
    assert prepared.python == [str(python(venv))]
    assert packages(lock_from(prepared.lock)) == {"mine": "1.0"}
    assert "mine" in prepared.notices[0]
