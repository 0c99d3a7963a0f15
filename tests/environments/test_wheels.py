"""Packages for a machine without a package index are got here and sent."""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path, PurePosixPath

import pytest

from amltool.configuration.compute import ComputeTarget, ComputeType, PipSettings
from amltool.environments import wheels as module
from amltool.environments.building import BuildLog, BuildVariables
from amltool.environments.pythons import Python
from amltool.environments.recipe import Recipe
from amltool.environments.steps import Steps
from amltool.environments.wheels import wheels_from_here
from amltool.errors import UserError
from amltool.hosts.local import LocalHost
from tests.environments.conftest import Told
from tests.environments.wheel_index import serving, wheel, wheel_name

VERSION = platform.python_version()
RECIPE = Recipe(
    pip=("alpha>=1.0", "./mine-0.5-py3-none-any.whl"), files={wheel_name("mine", "0.5"): wheel("mine", "0.5")}
)


class Elsewhere(LocalHost):
    """A machine that knows no index."""

    @property
    def name(self) -> str:
        return "elsewhere"


def steps_there(folder: Path, told: Told) -> Steps:
    place = PurePosixPath(folder / "there/build")
    host = Elsewhere(folder / "there")
    host.make_folder(place)
    return Steps(host, place, BuildVariables({"PIP_INDEX_URL": "http://127.0.0.1:9/simple"}, ()), BuildLog(told, ()))


def compute(url: str) -> ComputeTarget:
    return ComputeTarget(name="hdi", type=ComputeType.CLUSTER, pip=PipSettings(index_url=url))


def test_what_a_recipe_needs_is_got_here_and_installs_there_without_an_index(tmp_path: Path, told: Told) -> None:
    wheels = {
        wheel_name("alpha", "1.0"): wheel("alpha", "1.0", requires=("beta>=1.0",)),
        wheel_name("beta", "2.0"): wheel("beta", "2.0"),
        wheel_name("packer", "3.0"): wheel("packer", "3.0"),
    }
    there = steps_there(tmp_path, told)
    with serving(wheels) as index:
        offline, recipe = wheels_from_here(compute(index.url), there, RECIPE, VERSION, ["packer"])
        before = len(index.asked)
        target = str(tmp_path / "installed")
        install = [sys.executable, "-m", "pip", "install", "--target", target, "packer", *recipe.pip]
        offline.run("Installing", install, "")

    assert recipe.pip == ("alpha==1.0", "beta==2.0", "mine==0.5")
    assert {"packer.py", "alpha.py", "beta.py", "mine.py"} <= {path.name for path in Path(target).iterdir()}
    assert len(index.asked) == before
    assert told.said[0].startswith("Sending 4 packages (0.0 MB) to elsewhere")


def test_where_this_machine_has_not_the_same_python_it_says_so(tmp_path: Path, told: Told) -> None:
    with pytest.raises(UserError) as refused:
        wheels_from_here(compute("http://127.0.0.1:9/simple"), steps_there(tmp_path, told), RECIPE, "3.99.1", [])

    assert refused.value.what == (
        "elsewhere reaches no package index, and this machine has no Python 3.99 with pip to get the packages with."
    )
    assert "Install Python 3.99 here" in refused.value.remedy


def test_packages_for_another_platform_are_not_got(tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "platform_of", lambda _: "linux-ppc64le")
    with pytest.raises(UserError, match="are not for that one \\(linux-ppc64le\\)"):
        wheels_from_here(compute("http://127.0.0.1:9/simple"), steps_there(tmp_path, told), RECIPE, VERSION, [])


def test_a_python_here_that_cannot_make_environments_does_not_count(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Python(shutil.which("python3") or "python3", VERSION, "", has_pip=False)
    monkeypatch.setattr(module, "find_python", lambda *_: found)
    with pytest.raises(UserError, match="with pip to get the packages with"):
        wheels_from_here(compute("http://127.0.0.1:9/simple"), steps_there(tmp_path, told), RECIPE, VERSION, [])
