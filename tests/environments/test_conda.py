"""Conda environments, made for real by py-rattler from a channel of files; and how other conda commands are called."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from amltool.configuration.compute import ComputeTarget, ComputeType
from amltool.environments import conda as module
from amltool.environments import pythons
from amltool.environments.built import built_environment
from amltool.environments.lock import LockSource, read_lock
from amltool.environments.recipe import platform_here
from amltool.errors import UserError
from tests.environments.conda_channel import make_channel
from tests.environments.conftest import asking
from tests.environments.wheel_index import wheel, wheel_name

LOCAL = ComputeTarget(name="local", type=ComputeType.LOCAL)
MINE = wheel_name("mine", "0.5")


@pytest.fixture(scope="module")
def made_once(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("conda") / "channel"
    make_channel(folder, platform=platform_here())
    return folder


@pytest.fixture
def channel(made_once, tmp_path) -> Path:
    """A channel of the test's own."""
    return Path(shutil.copytree(made_once, tmp_path / "channel"))


@pytest.fixture
def rattler(monkeypatch):
    """No conda command is on the PATH, so the library has to do it."""
    pytest.importorskip("rattler", reason="py-rattler is not installed")
    monkeypatch.setattr(module, "COMMANDS", ("no-such-conda",))


def text(channel: Path, *packages: str, pip: str = "") -> str:
    return f"channels: ['{channel.as_uri()}']\ndependencies: [{', '.join(packages)}{pip}]\n"


@pytest.mark.usefixtures("rattler")
class TestForReal:
    def test_it_is_built_listed_found_and_built_again_from_its_lock(self, host, told, channel):
        environment = built_environment(LOCAL, host)
        request = asking(text(channel, "greeting", "phrases=1.0"))

        built = environment.prepare(host, request, told)

        lock = read_lock(built.lock)
        assert lock.source is LockSource.CONDA
        assert lock.channels == (channel.as_uri(),)
        assert [url.partition("#")[0].rpartition("/")[2].split("-")[0] for url in lock.explicit][-1] == "greeting"
        assert [one.name for one in lock.packages if one.by_conda] == ["greeting"]
        assert self.greet(host, built) == "hello"
        assert built.variables["CONDA_PREFIX"] in built.python[0]
        assert environment.find(host, request) == built

        Path(host.root, "environments").rename(Path(host.root, "old"))
        again = environment.prepare(host, asking("dependencies: [other]", lock=built.lock), told)
        assert again.lock == built.lock
        assert again.notices == ()
        assert self.greet(host, again) == "hello"

    def test_from_a_lock_the_packages_are_those_it_names_not_the_newest(self, host, told, channel):
        environment = built_environment(LOCAL, host)
        locked = environment.prepare(host, asking(text(channel, "phrases=1.0")), told)
        loose = environment.prepare(host, asking(text(channel, "phrases")), told)
        again = environment.prepare(host, asking(text(channel, "phrases"), lock=locked.lock), told)
        names = [
            [url.rpartition("/")[2].partition("#")[0] for url in read_lock(one.lock).explicit] for one in (again, loose)
        ]
        assert "phrases-1.0-0.tar.bz2" in names[0]
        assert "phrases-1.1-0.tar.bz2" in names[1]

    def test_pip_packages_come_by_the_environments_own_pip(self, host, told, channel):
        request = asking(
            text(channel, "greeting", pip=f", {{pip: ['./{MINE}']}}"), {f"aml_config/{MINE}": wheel("mine", "0.5")}
        )
        built = built_environment(LOCAL, host).prepare(host, request, told)
        installers = {one.name: one.by_conda for one in read_lock(built.lock).packages}
        assert installers == {"greeting": True, "pip": True, "mine": False}
        assert host.run([*built.python, "-c", "import mine; print(mine.VERSION)"]).stdout == b"0.5\n"

    def test_a_corrupted_package_is_refused(self, host, told, channel):
        package = channel / "noarch" / "phrases-1.1-0.tar.bz2"
        other = (channel / "noarch" / "phrases-1.0-0.tar.bz2").read_bytes()
        package.write_bytes(other)
        with pytest.raises(UserError, match="Making the conda environment"):
            built_environment(LOCAL, host).prepare(host, asking(text(channel, "phrases=1.1")), told)
        assert [path.name for path in Path(host.root, "environments").iterdir()] == ["locks"]

    def test_a_package_of_a_lock_that_is_another_now_is_refused(self, host, told, channel):
        environment = built_environment(LOCAL, host)
        locked = environment.prepare(host, asking(text(channel, "phrases=1.0")), told)
        shutil.copy(channel / "noarch" / "phrases-1.1-0.tar.bz2", channel / "noarch" / "phrases-1.0-0.tar.bz2")
        shutil.rmtree(host.root)
        with pytest.raises(UserError, match="Making the conda environment") as error:
            environment.prepare(host, asking(text(channel, "phrases=1.0"), lock=locked.lock), told)
        assert "no longer the one that was installed" in error.value.remedy

    def test_a_package_that_does_not_exist_is_told_with_its_name(self, host, told, channel):
        with pytest.raises(UserError, match="no-such-thing") as error:
            built_environment(LOCAL, host).prepare(host, asking(text(channel, "no-such-thing")), told)
        assert "channels" in error.value.remedy

    def greet(self, host, built) -> str:
        script = "import greeting; print(greeting.greet())"
        return host.run([*built.python, "-c", script]).stdout.decode().strip()


def test_without_any_conda_it_says_what_needs_it_and_what_to_do(host, told, monkeypatch):
    monkeypatch.setattr(module, "COMMANDS", ("no-such-conda",))
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"numpy, mkl") as error:
        built_environment(LOCAL, host).prepare(host, asking("dependencies: [python=3.11, numpy, mkl]"), told)
    assert "amltool[conda]" in error.value.remedy


@pytest.mark.parametrize("command", ["micromamba", "mamba", "conda"])
class TestCommands:
    """With a program in place of conda's own that keeps what it was given and makes a prefix as they do."""

    @pytest.fixture
    def given(self, command, tmp_path, monkeypatch) -> Path:
        program = tmp_path / "bin" / command
        program.parent.mkdir()
        program.write_text(
            f"#!{sys.executable}\n"
            "import pathlib, shutil, subprocess, sys\n"
            "arguments = sys.argv[1:]\n"
            "prefix, file = (arguments[arguments.index(name) + 1] for name in ('--prefix', '--file'))\n"
            f"keep = pathlib.Path({str(tmp_path)!r})\n"
            "(keep / 'arguments').write_text(' '.join(arguments)); shutil.copy(file, keep / 'file')\n"
            "assert not pathlib.Path(prefix).exists()\n"
            "subprocess.run([sys.executable, '-m', 'venv', '--without-pip', prefix], check=True)\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        monkeypatch.setattr(pythons.shutil, "which", lambda name: str(program) if name == command else None)
        return tmp_path

    def test_channels_and_packages_are_in_a_file_and_not_on_the_command_line(self, host, told, command, given):
        request = asking("channels: ['https://ada:hunter22@example.org/']\ndependencies: [numpy=1.26]")
        built_environment(LOCAL, host).prepare(host, request, told)
        arguments = (given / "arguments").read_text()
        assert arguments.startswith("env create" if command == "conda" else "create --yes")
        assert "hunter22" not in arguments
        expected = (
            '{"channels":["https://ada:hunter22@example.org/","nodefaults"],"dependencies":["numpy=1.26","python"]}'
        )
        assert (given / "file").read_text() == expected

    def test_a_lock_is_given_as_explicit_urls(self, host, told, command, given):
        url = f"https://example.org/noarch/a-1.0-0.conda#{'0' * 32}"
        lock = b'{"source": "conda", "conda": ["a-1.0-0"], "explicit": ["%s"]}' % url.encode()
        built_environment(LOCAL, host).prepare(host, asking("dependencies: [a]", lock=lock), told)
        assert (given / "file").read_text() == f"@EXPLICIT\n{url}\n"
        assert (given / "arguments").read_text().startswith("create --yes")
