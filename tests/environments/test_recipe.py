"""Recipes: what of the files decides about an environment, and how a lock becomes a recipe again."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from amltool.environments.base import EnvironmentRequest
from amltool.environments.lock import LockSource, built_lock
from amltool.environments.recipe import Recipe, conda_platform, recipe_of, recipe_of_lock
from amltool.errors import ConfigurationError, UserError
from tests.environments.conftest import asking
from tests.environments.test_lock import package, printed

TEXT = "channels: [conda-forge]\ndependencies:\n- python=3.11\n- pip:\n  - six==1.16\nvariables: {A: '1', B: '2'}\n"


def key(text: str, files: dict[str, bytes] | None = None) -> str:
    return recipe_of(asking(text, files)).key("linux-64")


class TestKey:
    def test_comments_blank_lines_and_the_order_of_keys_do_not_change_it(self):
        other = "# mine\nvariables: {B: '2', A: '1'}\n\ndependencies:\n- python=3.11 # why\n\n- pip:\n  - six==1.16\n"
        assert key(TEXT) == key(other + "channels: [conda-forge]\nname: x\n")

    @pytest.mark.parametrize("other", ["six==1.17", "six==1.16\n  - attrs"])
    def test_another_package_changes_it(self, other):
        assert key(TEXT) != key(TEXT.replace("six==1.16", other))

    def test_comments_in_a_requirements_file_do_not_change_it(self):
        text = "dependencies: [{pip: ['-r more.txt']}]"
        first = key(text, {"aml_config/more.txt": b"six==1.16\n"})
        assert first == key(text, {"aml_config/more.txt": b"# again\n\nsix==1.16  # for me\n"})
        assert first != key(text, {"aml_config/more.txt": b"six==1.17\n"})

    def test_the_content_of_a_wheel_changes_it(self):
        text = "dependencies: [{pip: ['./mine-1.0-py3-none-any.whl']}]"
        keys = {key(text, {"aml_config/mine-1.0-py3-none-any.whl": content}) for content in (b"1", b"2", b"1")}
        assert len(keys) == 2

    def test_circumstances_change_it(self):
        assert Recipe().key("linux-64") != Recipe().key("osx-arm64")


class TestOfFiles:
    def test_no_file_is_an_empty_recipe(self):
        assert recipe_of(EnvironmentRequest(read={}.get, conda_file="aml_config/conda_dependencies.yml")) == Recipe()

    def test_a_mistake_in_the_file_is_told_with_its_place(self):
        with pytest.raises(ConfigurationError, match=r"conda_dependencies\.yml:1"):
            recipe_of(asking("dependencies: 3"))

    def test_conda_is_asked_for_python_and_for_pip_where_pip_has_something_to_do(self):
        recipe = recipe_of(asking("dependencies: [conda-forge::numpy=1.26, {pip: [six]}]"))
        assert recipe.conda_packages() == ("conda-forge::numpy=1.26", "python", "pip")
        assert recipe.conda_channels() == ("conda-forge",)
        assert recipe.needs_conda == ("numpy",)

    def test_pip_by_its_conda_name_is_put_in_pips_words(self):
        text = "dependencies: [python=3.11, pip=23.1, 'setuptools>=60,<70', wheel==0.40, six]"
        assert recipe_of(asking(text)).python_tools() == ("pip==23.1.*", "setuptools>=60,<70", "wheel==0.40")

    def test_what_pip_is_given_is_complete(self):
        files = {"aml_config/limits.txt": b"attrs<23\n", "wheels/mine-1.0-py3-none-any.whl": b"w"}
        lines = ["-c limits.txt", "../wheels/mine-1.0-py3-none-any.whl", "--index-url https://example.org/", "six"]
        recipe = recipe_of(asking(f"dependencies: [{{pip: {lines}}}]", files))
        assert recipe.pip_files() == {
            "requirements.txt": b"--index-url https://example.org/\n./wheels/mine-1.0-py3-none-any.whl\nsix\n",
            "constraints.txt": b"attrs<23\n",
            "wheels/mine-1.0-py3-none-any.whl": b"w",
        }
        assert recipe.pip_arguments() == ["--constraint", "constraints.txt", "--requirement", "requirements.txt"]


class TestOfLock:
    def locked(self, *packages, recipe: Recipe | None = None, **more) -> bytes:
        return built_lock(printed(packages, **more), source=LockSource.VENV, recipe=recipe or Recipe())

    def test_every_package_is_pinned_and_nothing_else_may_come(self):
        git = package("theirs", url="https://example.org/theirs.git@abc", vcs="git")
        archive = package("far", url="https://example.org/far-1.0.zip")
        recipe = recipe_of_lock(self.locked(package("six", "1.16"), git, archive))
        assert recipe is not None
        assert recipe.pip == (
            "six==1.16",
            "theirs @ git+https://example.org/theirs.git@abc",
            "far @ https://example.org/far-1.0.zip",
        )
        assert recipe.exact
        assert recipe.python == "3.11.7"
        assert recipe.pip_arguments()[0] == "--no-deps"

    def test_what_conda_installed_is_not_pips(self):
        explicit = [{"name": "a", "distribution": "a-1-0", "url": "https://x.org/noarch/a-1-0.conda", "md5": "0" * 32}]
        lock = self.locked(package("a", installer="conda"), package("six", "1.16"), explicit=explicit)
        recipe = recipe_of_lock(lock)
        assert recipe is not None
        assert recipe.pip == ("six==1.16",)
        assert recipe.explicit == (f"https://x.org/noarch/a-1-0.conda#{'0' * 32}",)

    def test_indexes_and_variables_are_those_of_the_file(self):
        made = Recipe(pip_options=("--index-url https://example.org/", "--require-hashes"), variables={"A": "1"})
        recipe = recipe_of_lock(self.locked(package("six"), recipe=made))
        assert recipe is not None
        assert recipe.pip_options == ("--index-url https://example.org/",)
        assert recipe.variables == {"A": "1"}

    def test_a_wheel_of_the_project_is_taken_from_the_snapshot(self):
        path, content = "wheels/mine-1.0-py3-none-any.whl", b"content"
        lock = self.locked(package("mine", url=f"file:///b/{path}"), recipe=Recipe(files={path: content}))
        recipe = recipe_of_lock(lock, {path: content}.get)
        assert recipe is not None
        assert recipe.pip == (f"./{path}",)
        assert hashlib.sha256(recipe.files[path]).digest() == hashlib.sha256(content).digest()
        with pytest.raises(UserError, match=f"{path} of the project"):
            recipe_of_lock(lock, {path: b"another"}.get)

    def test_that_of_a_users_own_interpreter_gives_none_and_the_file_rules(self):
        users = msgspec.json.encode({"v": 1, "packages": [package("six", "1.16")]})
        assert recipe_of_lock(users) is None
        assert recipe_of(asking(TEXT, lock=users)) == recipe_of(asking(TEXT))

    @pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"source": "moon"}'])
    def test_what_is_no_lock_gives_none(self, content):
        assert recipe_of_lock(content) is None

    def test_a_package_from_a_folder_of_another_machine_cannot_be_built_again(self):
        assert recipe_of_lock(self.locked(package("mine", url="file:///home/ada/mine"))) is None

    def test_conda_packages_for_another_platform_are_of_no_use(self):
        explicit = [
            {"name": "a", "distribution": "a-1-0", "url": "https://x.org/linux-64/a-1-0.conda", "md5": "0" * 32}
        ]
        lock = self.locked(explicit=explicit)
        assert recipe_of_lock(lock, platform="linux-64") is not None
        assert recipe_of_lock(lock, platform="osx-arm64") is None

    def test_a_lock_and_its_recipe_give_the_same_lock(self):
        lock = self.locked(package("six", "1.16"))
        recipe = recipe_of_lock(lock)
        assert recipe is not None
        assert self.locked(package("six", "1.16"), recipe=recipe) == lock


@pytest.mark.parametrize(
    ("system", "machine", "platform"),
    [("Linux", "x86_64", "linux-64"), ("Linux", "aarch64", "linux-aarch64"), ("Darwin", "arm64", "osx-arm64")],
)
def test_platforms_are_named_as_conda_names_them(system, machine, platform):
    assert conda_platform(system, machine) == platform
