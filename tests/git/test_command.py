"""The door to Git: finding a repository, saying why there is none, reading objects."""

from __future__ import annotations

from pathlib import Path

import pytest

from amltool.errors import UserError
from amltool.git.command import Git, tree_names
from amltool.git.listing import MISSING, sizes_of
from tests.repositories import git, make_repository


def test_a_repository_is_found_from_any_folder_in_it(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "a project", {"deep/er/file.txt": "x"})
    found = Git.at(folder / "deep" / "er")
    assert found.top == folder
    assert found.common_dir == folder / ".git"
    assert found.head == git(folder, "rev-parse", "HEAD")


def test_a_linked_worktree_shares_the_common_folder(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "main", {"file.txt": "x"})
    git(folder, "worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    found = Git.at(tmp_path / "linked")
    assert found.top == tmp_path / "linked"
    assert found.common_dir == folder / ".git"
    assert found.git_dir != found.common_dir


def test_a_repository_without_a_commit_has_no_head(tmp_path: Path) -> None:
    assert Git.at(make_repository(tmp_path / "empty")).head is None


@pytest.mark.parametrize(
    ("place", "says"),
    [("nothing", "not in a Git repository"), ("bare", "bare repository"), ("project/.git", "inside a .git folder"),
     ("missing", "no folder"), ("file", "not a folder")],
)  # fmt: skip
def test_where_nothing_can_be_run_it_says_why(tmp_path: Path, place: str, says: str) -> None:
    (tmp_path / "nothing").mkdir()
    (tmp_path / "file").write_text("")
    git(tmp_path, "init", "-q", "--bare", "bare")
    make_repository(tmp_path / "project", {"file.txt": "x"})
    with pytest.raises(UserError, match=says) as caught:
        Git.at(tmp_path / place)
    assert caught.value.remedy


def test_git_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="Git was not found"):
        Git.at(tmp_path)


def test_objects_and_sizes_are_read_through_one_process(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "project", {"a.txt": "abc", "d/b c.txt": "", "new\nline": "x"})
    found = Git.at(folder)
    with found.objects() as objects:
        assert objects.read("HEAD:a.txt") == ("blob", b"abc")
        assert objects.read("HEAD:nothing") is None
        assert objects.read("HEAD:d/b c.txt") == ("blob", b"")
        tree = objects.read("HEAD^{tree}")
    assert tree is not None
    assert tree_names(tree[1], 40) == ["a.txt", "d", "new\nline"]
    blob = git(folder, "rev-parse", "HEAD:a.txt")
    assert sizes_of(found, [blob, blob, "0" * 40]) == [3, 3, MISSING]


def test_a_revision_that_looks_like_an_option_is_no_option(tmp_path: Path) -> None:
    found = Git.at(make_repository(tmp_path / "project", {"a.txt": "abc"}))
    assert found.resolve("--all") is None
    assert found.resolve("HEAD") == found.head
