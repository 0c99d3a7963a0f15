"""Virtual environments, made for real: from an index of the test's own, with a password, and again from the lock."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path, PurePosixPath

import pytest

from amltool.configuration.compute import ComputeTarget, ComputeType, PipSettings
from amltool.environments import venv as module
from amltool.environments.building import BuildLog, BuildVariables
from amltool.environments.built import built_environment
from amltool.environments.lock import LockSource, read_lock
from amltool.environments.recipe import Recipe, recipe_of_lock
from amltool.environments.steps import Steps
from amltool.errors import UserError
from amltool.hosts.local import LocalHost
from tests.environments.conftest import Told, asking
from tests.environments.wheel_index import serving, wheel, wheel_name

MINOR = ".".join(platform.python_version().split(".")[:2])
PASSWORD = "canary-22-secret"
MINE = wheel_name("mine", "0.5")
TEXT = f"dependencies: [python={MINOR}, {{pip: ['alpha>=1.0', './{MINE}']}}]\nvariables: {{GREETING: hello}}\n"
FILES = {f"aml_config/{MINE}": wheel("mine", "0.5")}


@pytest.fixture(scope="module")
def index():
    """Has beta, which alpha needs, in two versions; asks for a password."""
    wheels = {
        wheel_name("alpha", "1.0"): wheel("alpha", "1.0", requires=("beta>=1.0",)),
        wheel_name("beta", "1.0"): wheel("beta", "1.0"),
        wheel_name("beta", "2.0"): wheel("beta", "2.0"),
    }
    with serving(wheels, password=f"ada:{PASSWORD}") as serves:
        yield serves


@pytest.fixture
def local(index, monkeypatch):
    monkeypatch.setenv("INDEX_TOKEN", PASSWORD)
    pip = PipSettings(index_url=index.url_for("ada:${env:INDEX_TOKEN}"))
    return ComputeTarget(name="local", type=ComputeType.LOCAL, pip=pip)


@pytest.fixture(params=["pip", "uv"])
def tool(request, monkeypatch):
    """Both ways to make one; without uv on the PATH its half says that it was not run."""
    if request.param == "uv" and shutil.which("uv") is None:
        beside = Path(sys.executable).parent
        if not (beside / "uv").exists():
            pytest.skip("no uv on the PATH, and none beside this Python")
        monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{beside}")
    if request.param == "pip":
        monkeypatch.setattr(module, "UV", "no-such-uv")
    return request.param


def test_it_is_built_from_the_file_found_and_built_again_from_its_lock(host, told, local, tool):
    environment = built_environment(local, host)
    request = asking(TEXT, FILES)
    assert environment.find(host, request) is None

    built = environment.prepare(host, request, told)

    lock = read_lock(built.lock)
    assert lock.source is LockSource.VENV
    assert {"alpha": "1.0", "beta": "2.0", "mine": "0.5"}.items() <= {
        one.name: one.version for one in lock.packages
    }.items()
    result = host.run([*built.python, "-c", "import alpha, beta, mine; print(beta.VERSION, mine.VERSION)"])
    assert result.stdout.split() == [b"2.0", b"0.5"]
    assert environment.find(host, request) == built
    assert built.variables["GREETING"] == "hello"
    _nothing_secret(host, told, built.lock)

    Path(host.root, "environments").rename(Path(host.root, "old"))
    again = environment.prepare(host, asking(TEXT, FILES, lock=built.lock), told)
    assert again.lock == built.lock
    assert again.notices == ()
    assert again.variables["GREETING"] == "hello"


def test_from_a_lock_the_packages_are_those_it_names_not_the_newest(host, told, local, monkeypatch):
    """And nothing comes along that it does not name."""
    monkeypatch.setattr(module, "UV", "no-such-uv")
    lock = (
        b'{"source": "venv", "python": {"version": "%s"}, "packages": [{"name": "alpha", "version": "1.0"}],'
        b' "platform": {}}' % platform.python_version().encode()
    )
    built = built_environment(local, host).prepare(host, asking(TEXT, FILES, lock=lock), told)
    assert [(one.name, one.version) for one in read_lock(built.lock).packages] == [("alpha", "1.0")]


def test_a_package_that_does_not_exist_is_told_with_what_pip_said_and_without_the_password(host, told, local, tool):
    with pytest.raises(UserError, match="Installing the pip packages") as error:
        built_environment(local, host).prepare(
            host, asking(f"dependencies: [python={MINOR}, {{pip: [no-such-thing]}}]"), told
        )
    assert "no-such-thing" in error.value.what
    assert "conda dependencies file" in error.value.remedy
    _nothing_secret(host, told, str(error.value).encode())
    assert [path.name for path in Path(host.root, "environments").iterdir()] == ["locks"]


def test_a_python_that_is_not_here_is_one_clear_sentence(host, told, local, monkeypatch):
    monkeypatch.setattr(module, "UV", "no-such-uv")
    environment = built_environment(local, host)
    for look in (environment.find, lambda *given: environment.prepare(*given, told)):
        with pytest.raises(UserError, match=r"asks for Python 3\.99, and there is none") as error:
            look(host, asking("dependencies: [python=3.99]"))
        assert "python3.99" in error.value.remedy


def test_a_lock_takes_a_neighbour_of_its_python_where_that_is_not_here(host, told, local, monkeypatch):
    monkeypatch.setattr(module, "UV", "no-such-uv")
    lock = b'{"source": "venv", "python": {"version": "%s.99"}, "packages": []}' % MINOR.encode()
    choice = module.VirtualEnvironment(local).choose(host, _recipe(lock))
    assert choice is not None
    assert choice.circumstances[0].startswith(MINOR)


class TestFetchingPython:
    """With a program in place of uv that has the versions it was asked to install."""

    @pytest.fixture
    def uv(self, tmp_path, monkeypatch):
        python = tmp_path / "python"
        python.write_text(
            f'#!/bin/sh\necho \'{{"path": "{python}", "version": "3.98.1", "build": "b", "has_pip": true}}\'\n'
        )
        python.chmod(0o755)
        program = tmp_path / "fake-uv"
        program.write_text(
            f'#!/bin/sh\ncase "$2" in\n'
            f'install) [ "$3" = 3.98 ] && touch {tmp_path}/installed || {{ echo no such version; exit 2; }};;\n'
            f"find) [ -e {tmp_path}/installed ] && echo {python} || exit 2;;\nesac\n"
        )
        program.chmod(0o755)
        monkeypatch.setattr(module, "UV", str(program))
        return python

    def steps(self, host, told):
        return Steps(host, PurePosixPath("/"), BuildVariables({}, ()), BuildLog(told, []))

    def test_uv_fetches_the_version_that_is_not_here(self, host, told, local, uv):
        kind, recipe = module.VirtualEnvironment(local), Recipe(python="3.98")
        assert kind.choose(host, recipe) is None
        fetched = kind.fetch(host, recipe, self.steps(host, told))
        assert (fetched.python, fetched.circumstances) == (str(uv), ("3.98.1", "b"))
        assert kind.choose(host, recipe) == fetched

    def test_one_that_uv_does_not_have_is_one_clear_sentence(self, host, told, local, uv):
        with pytest.raises(UserError, match=r"asks for Python 3\.97"):
            module.VirtualEnvironment(local).fetch(host, Recipe(python="3.97"), self.steps(host, told))
        assert "no such version" in told.logged


def test_another_index_is_another_environment_and_a_new_password_is_the_same(host, local, monkeypatch):
    """`find` needs no secret: it only looks."""
    from msgspec.structs import replace

    monkeypatch.delenv("INDEX_TOKEN")
    keys = []
    for url in ("https://a:${env:ONE}@x.example.org/", "https://a:${env:ONE}@y.example.org/", local.pip.index_url):
        compute = replace(local, pip=PipSettings(index_url=url))
        environment = built_environment(compute, host)
        assert environment.find(host, asking(TEXT, FILES)) is None
        kind = environment._plain
        keys.append(environment._key(host, kind, _recipe(b""), kind.choose(host, _recipe(b""))))
    assert len(set(keys)) == 3


def _recipe(lock: bytes):
    return recipe_of_lock(lock) or Recipe()


def _nothing_secret(host: LocalHost, told: Told, *contents: bytes) -> None:
    assert PASSWORD not in "\n".join([*told.logged, *told.said])
    assert not any(PASSWORD.encode() in content for content in contents)
    files = [path for path in Path(host.root).rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]
