"""Artifacts from one store to another: whole, once, and found again by a clone that did not make them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.amltool_command import amltool, make_project, submit
from tests.repositories import git

SCRIPT = """
open("outputs/model.bin", "wb").write(b"weights" * 1000)
open("outputs/same.bin", "wb").write(b"weights" * 1000)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "iris", {"train.py": SCRIPT})


def second_clone(project: Path, folder: Path) -> Path:
    git(project.parent, "clone", "-q", str(project), str(folder))
    git(folder, "fetch", "-q", "origin", "refs/notes/amltool/*:refs/notes/amltool/*")
    return folder


def exchange(project: Path, verb: str, *words: str, check: bool = True) -> dict[str, Any]:
    done: dict[str, Any] = json.loads(amltool(project, f"artifacts.{verb}", *words, "--json", check=check).stdout)
    return done


def test_what_one_clone_pushed_another_gets(project: Path, tmp_path: Path) -> None:
    record = submit(project)
    shared = tmp_path / "shared"
    contents = len({each["sha256"] for each in record["artifacts"]})
    first = exchange(project, "push", "--store", str(shared))
    again = exchange(project, "push", "@", "--store", str(shared))
    assert (first["brought"], first["there"], first["missing"]) == (contents, 0, [])
    assert (again["brought"], again["there"], again["bytes"]) == (0, contents, 0)

    clone = second_clone(project, tmp_path / "clone")
    words = ("outputs", "@", "--path", "outputs/model.bin", "--stdout")
    assert "is not in this clone" in amltool(clone, *words, check=False).stderr
    (clone / "aml_config/project.yml").write_text(f"artifact_store: {shared}\n")
    assert amltool(clone, *words).stdout == "weights" * 1000
    assert exchange(clone, "pull")["brought"] == contents
    (clone / "aml_config/project.yml").unlink()
    assert amltool(clone, *words).stdout == "weights" * 1000


def test_what_is_damaged_or_gone_is_named_and_the_rest_brought(project: Path, tmp_path: Path) -> None:
    record = submit(project)
    digests = {each["path"]: each["sha256"] for each in record["artifacts"]}
    objects = project / ".git/amltool/store/objects"
    damaged, gone = (next(objects.rglob(digests[path])) for path in ("outputs/model.bin", "console.log"))
    damaged.chmod(0o644)
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    gone.unlink()

    done = exchange(project, "push", "--store", str(tmp_path / "shared"), check=False)

    named = {each.split(" of run ")[0] for each in done["missing"]}
    assert named == {"outputs/same.bin", "console.log"}, "the same content has one name"
    assert done["brought"] == len(set(digests.values())) - 2
    assert not list((tmp_path / "shared/objects").rglob(digests["outputs/model.bin"]))


def test_a_store_or_a_credential_that_is_none_is_a_sentence(project: Path) -> None:
    submit(project)
    for words, said in (
        ((), "which store"),
        (("--store", "ftp://x"), "cannot be opened"),
        (("--store", "azure://account/runs", "--credential", "canary-secret"), "takes a reference"),
    ):
        refused = amltool(project, "artifacts.push", *words, check=False)
        assert refused.returncode == 1
        assert said in refused.stderr
        assert "canary" not in refused.stderr
