"""Locks of built environments: equal for equal environments, readable later, free of credentials and of places."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from amltool.environments.lock import (
    BaseImage,
    CondaPackage,
    LockSource,
    base_image_of,
    built_lock,
    compare_locks,
    in_order,
    lock_from,
    read_listing,
    read_lock,
    without_credentials,
)
from amltool.environments.recipe import Recipe
from amltool.errors import UserError

PYTHON = {"executable": "/somewhere/bin/python", "implementation": "cpython", "version": "3.11.7", "build": "3.11.7 x"}
PLATFORM = {"system": "linux", "machine": "x86_64", "libc": "glibc 2.36"}


def printed(packages=(), explicit=(), python=PYTHON) -> bytes:
    """What an interpreter printed that was asked to list itself."""
    lock = {"v": 1, "python": python, "platform": PLATFORM, "packages": list(packages), "conda": []}
    listing = {"lock": lock, "stamps": {}, "explicit": list(explicit)}
    return b"noise from a sitecustomize\namltool-listing:" + msgspec.json.encode(listing) + b"\nmore noise\n"


def package(name: str, version: str = "1.0", **more: object) -> dict[str, object]:
    return {"name": name, "version": version, "url": None, "editable": False, **more}


def conda(name: str, *depends: str, url: str | None = None) -> CondaPackage:
    address = url or f"https://example.org/noarch/{name}-1.0-0.conda"
    return CondaPackage(name, f"{name}-1.0-0", address, "0" * 32, "", depends)


class TestBuiltLock:
    def test_where_the_environment_lies_is_not_in_it(self):
        moved = printed(python={**PYTHON, "executable": "/elsewhere/bin/python"})
        locks = {built_lock(one, source=LockSource.VENV, recipe=Recipe()) for one in (printed(), moved)}
        assert len(locks) == 1
        assert b"elsewhere" not in locks.pop()

    def test_it_says_what_was_built_and_from_which_image(self):
        image = BaseImage("debian:12", digest="debian@sha256:" + "a" * 64)
        lock = built_lock(printed(), source=LockSource.IMAGE, recipe=Recipe(), base_image=image)
        assert read_lock(lock).source is LockSource.IMAGE
        assert base_image_of(lock) == image

    def test_conda_packages_come_after_what_they_need(self):
        explicit = [msgspec.to_builtins(one) for one in (conda("a", "b >=1"), conda("b", "c"), conda("c"))]
        recipe = Recipe(channels=("https://example.org",))
        content = read_lock(built_lock(printed(explicit=explicit), source=LockSource.CONDA, recipe=recipe))
        names = [url.rpartition("/")[2] for url in content.explicit]
        assert names == [f"{name}-1.0-0.conda#{'0' * 32}" for name in ("c", "b", "a")]
        assert content.channels == ("https://example.org",)

    def test_a_sha256_stands_where_there_is_no_md5(self):
        one = msgspec.to_builtins(msgspec.structs.replace(conda("a"), md5="", sha256="f" * 64))
        lock = built_lock(printed(explicit=[one]), source=LockSource.CONDA, recipe=Recipe())
        assert read_lock(lock).explicit[0].endswith("#sha256:" + "f" * 64)

    def test_a_file_of_the_project_is_told_by_its_path_and_content(self):
        recipe = Recipe(files={"wheels/mine-1.0-py3-none-any.whl": b"content"})
        built = package("mine", url="file:///root/x/build/wheels/mine-1.0-py3-none-any.whl")
        [locked] = read_lock(built_lock(printed([built]), source=LockSource.VENV, recipe=recipe)).packages
        digest = hashlib.sha256(b"content").hexdigest()
        assert locked.url == f"project:wheels/mine-1.0-py3-none-any.whl#sha256={digest}"

    def test_no_credentials_are_in_it(self):
        recipe = Recipe(
            pip_options=("--index-url https://ada:hunter22@example.org/simple",),
            channels=("https://example.org/t/tk-secret/main",),
        )
        built = package("mine", url="https://ada:hunter22@example.org/mine.whl")
        explicit = [msgspec.to_builtins(conda("a", url="https://example.org/t/tk-secret/main/noarch/a-1.0-0.conda"))]
        lock = built_lock(printed([built], explicit), source=LockSource.CONDA, recipe=recipe)
        assert b"hunter22" not in lock
        assert b"tk-secret" not in lock
        assert b"https://example.org/mine.whl" in lock

    @pytest.mark.parametrize("output", [b"", b"noise", b"amltool-listing:{", b"amltool-listing:[]"])
    def test_an_interpreter_that_says_nothing_is_a_clear_error(self, output):
        assert read_listing(output) is None
        with pytest.raises(UserError, match="does not say what is installed"):
            built_lock(output, source=LockSource.VENV, recipe=Recipe())


@settings(max_examples=50, deadline=None)
@given(some.lists(some.tuples(some.integers(0, 7), some.lists(some.integers(0, 9), max_size=4)), max_size=8))
def test_any_packages_are_ordered_whatever_they_need(drawn):
    packages = {f"p{number}": conda(f"p{number}", *(f"p{need}" for need in needs)) for number, needs in drawn}
    ordered = in_order(tuple(packages.values()))
    assert sorted(one.name for one in ordered) == sorted(packages)
    if all(int(need[1:]) < int(name[1:]) for name, one in packages.items() for need in one.depends):
        places = {one.name: place for place, one in enumerate(ordered)}
        assert all(places[need] < places[one.name] for one in ordered for need in one.depends if need in places)


class TestCredentials:
    @pytest.mark.parametrize(
        ("text", "without"),
        [
            ("https://ada:pw@example.org/simple", "https://example.org/simple"),
            ("--index-url https://token@example.org/", "--index-url https://example.org/"),
            ("https://${USER}:${TOKEN}@example.org/", "https://${USER}:${TOKEN}@example.org/"),
            ("https://example.org/t/tk-1/channel", "https://example.org/channel"),
            ("git+https://example.org/x.git@abc", "git+https://example.org/x.git@abc"),
            ("numpy==1.0", "numpy==1.0"),
        ],
    )
    def test_they_are_taken_out_of_urls_and_references_stay(self, text, without):
        assert without_credentials(text) == without


class TestComparing:
    def lock(self, **changes: object) -> bytes:
        content = {"v": 1, "source": "image", "python": PYTHON, "packages": [package("numpy")], **changes}
        return msgspec.json.encode(content)

    def test_another_base_image_is_told_with_what_makes_it_another(self):
        first, second = ({"name": "debian:12", "digest": f"debian@sha256:{one * 64}"} for one in "ab")
        assert compare_locks(self.lock(base_image=first), self.lock(base_image=second)) == [
            "base image debian:12 (sha256:aaaaaaaaaaaa) -> debian:12 (sha256:bbbbbbbbbbbb)"
        ]

    def test_another_name_of_the_same_image_is_not_told(self):
        first, second = ({"name": name, "id": "sha256:" + "a" * 64} for name in ("one", "two"))
        assert "base image" not in str(compare_locks(self.lock(base_image=first), self.lock(base_image=second)))

    def test_a_built_and_a_users_environment_with_the_same_packages_do_not_differ(self):
        users = {"v": 1, "python": PYTHON, "packages": [package("numpy")]}
        built = self.lock(source="venv", python={name: PYTHON[name] for name in PYTHON if name != "executable"})
        assert compare_locks(msgspec.json.encode(users), built) == []

    def test_who_installed_a_package_is_no_difference(self):
        other = self.lock(source="conda", packages=[package("numpy", installer="conda")])
        assert compare_locks(self.lock(), other) == []


def test_locks_in_histories_that_know_nothing_of_this_are_still_read():
    old = msgspec.json.encode({"v": 1, "python": PYTHON, "packages": [package("numpy", "1.26")], "conda": ["mkl-1-0"]})
    assert lock_from(old).packages[0].version == "1.26"
    assert base_image_of(old) is None
    assert read_lock(old).source is None
