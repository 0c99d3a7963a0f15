"""Snapshots: what is taken, of a clean tree and of uncommitted work, and what is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from amltool.errors import UserError
from amltool.git.command import Git
from amltool.git.snapshots import take
from amltool.git.survey import survey
from amltool.limits import Profile
from amltool.snapshot import Snapshot
from tests.repositories import commit_all, git, make_repository, state_of, write_files

PROJECT = {"train.py": "print(1)\n", "src/model.py": "x = 1\n", "run.sh": "#!/bin/sh\n", "data/a b.csv": "1,2\n"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "project", PROJECT)


def snapshot(
    folder: Path, prefix: str = "", source: str = ".", profile: Profile = Profile.SDK, commit: str | None = None
) -> Snapshot:
    found = Git.at(folder)
    return take(found, survey(found, prefix, source, profile, commit))


def paths(taken: Snapshot) -> set[str]:
    return {file.path for file in taken.files}


def test_a_clean_tree_is_its_own_snapshot(repository: Path) -> None:
    taken = snapshot(repository)
    assert taken.commit == git(repository, "rev-parse", "HEAD")
    assert taken.tree == git(repository, "rev-parse", "HEAD^{tree}")
    assert not taken.dirty
    assert paths(taken) == set(PROJECT)


def test_uncommitted_work_becomes_a_commit_and_nothing_of_the_users_is_touched(repository: Path) -> None:
    write_files(repository, {"train.py": "print(2)\n", "new file.txt": "new", "staged.txt": "staged"})
    git(repository, "add", "staged.txt")
    (repository / "src/model.py").unlink()
    before = state_of(repository)

    taken = snapshot(repository)

    assert state_of(repository) == before
    assert taken.dirty
    assert paths(taken) == {"train.py", "new file.txt", "staged.txt", "run.sh", "data/a b.csv"}
    assert git(repository, "show", f"{taken.commit}:train.py") == "print(2)"
    assert git(repository, "rev-parse", f"{taken.commit}^") == git(repository, "rev-parse", "HEAD")
    assert taken.tree == git(repository, "rev-parse", f"{taken.commit}^{{tree}}")


def test_the_same_uncommitted_work_has_the_same_id_at_another_time_by_another_user(repository: Path) -> None:
    write_files(repository, {"train.py": "print(2)\n"})
    first = snapshot(repository)
    git(repository, "config", "user.name", "Somebody Else")
    time.sleep(1.1)
    os.utime(repository / "train.py")
    assert snapshot(repository).commit == first.commit


def test_no_user_name_is_needed(repository: Path, isolated_home: Path) -> None:
    (isolated_home / ".gitconfig").write_text("")
    write_files(repository, {"train.py": "print(2)\n"})
    assert snapshot(repository).dirty


def test_work_that_the_ignore_file_excludes_does_not_make_a_snapshot_dirty(repository: Path) -> None:
    write_files(repository, {".amlignore": "notes.txt\n"})
    commit_all(repository)
    write_files(repository, {"notes.txt": "mine", "outputs/old.bin": "old"})
    assert not snapshot(repository).dirty


def test_amlignore_rules_alone_and_the_tree_is_that_of_what_is_placed(repository: Path) -> None:
    write_files(repository, {".amlignore": "data/\n", "x.log": "log"})
    commit_all(repository)
    taken = snapshot(repository)
    assert paths(taken) == {".amlignore", "train.py", "src/model.py", "run.sh", "x.log"}
    git(repository, "rm", "-q", "-r", "--cached", "data")
    assert taken.tree == git(repository, "write-tree")


def test_docs_stay_here_under_the_workbench_profile_only(repository: Path) -> None:
    write_files(repository, {"docs/a.md": "a"})
    commit_all(repository)
    assert "docs/a.md" in paths(snapshot(repository))
    assert "docs/a.md" not in paths(snapshot(repository, profile=Profile.WORKBENCH))


def test_a_sub_folder_has_its_own_root_and_ignore_file(repository: Path) -> None:
    write_files(repository, {"steps/one/main.py": "1", "steps/one/big.bin": "b", "steps/one/.amlignore": "*.bin\n"})
    commit_all(repository)
    taken = snapshot(repository, source="steps/one")
    assert paths(taken) == {"main.py", ".amlignore"}


def test_work_outside_the_sub_folder_is_not_in_its_snapshot(repository: Path) -> None:
    write_files(repository, {"part/main.py": "1"})
    commit_all(repository)
    write_files(repository, {"train.py": "changed", "part/main.py": "2"})
    git(repository, "add", "train.py")
    taken = snapshot(repository, prefix="part")
    assert paths(taken) == {"main.py"}
    assert git(repository, "show", f"{taken.commit}:train.py") == "print(1)"


def test_an_earlier_commit_can_be_taken(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    write_files(repository, {"later.txt": "x"})
    commit_all(repository)
    assert "later.txt" not in paths(snapshot(repository, commit=first))


@pytest.mark.parametrize(
    "name", ["a b.txt", "ümläut.txt", "new\nline.txt", b"not-\xff-utf8.txt", "'quotes\".txt", "*.txt", "-n"]
)
def test_odd_names_are_taken_as_they_are(repository: Path, name: str | bytes) -> None:
    text = os.fsdecode(name)
    (repository / text).write_text("odd")
    taken = snapshot(repository)
    assert text in paths(taken)
    commit_all(repository)
    assert snapshot(repository).tree == taken.tree


def test_bytes_stay_gits_bytes_whatever_the_attributes_say(repository: Path) -> None:
    write_files(repository, {".gitattributes": "*.txt text eol=crlf\n", "a.txt": "one\ntwo\n"})
    taken = snapshot(repository)
    assert (
        git(repository, "cat-file", "blob", next(f.object_id for f in taken.files if f.path == "a.txt")) == "one\ntwo"
    )


def test_a_repository_without_a_commit_is_told_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no commit yet"):
        snapshot(make_repository(tmp_path / "empty"))


def test_an_unfinished_merge_is_refused(repository: Path) -> None:
    git(repository, "checkout", "-q", "-b", "other")
    write_files(repository, {"train.py": "other\n"})
    commit_all(repository)
    git(repository, "checkout", "-q", "main")
    write_files(repository, {"train.py": "main\n"})
    commit_all(repository)
    with pytest.raises(subprocess.CalledProcessError):
        git(repository, "merge", "other")
    with pytest.raises(UserError, match="merge is unfinished"):
        snapshot(repository)


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "data/../../x"])
def test_links_that_leave_the_snapshot_are_refused(repository: Path, target: str) -> None:
    (repository / "link").symlink_to(target)
    with pytest.raises(UserError, match="lead out of the snapshot"):
        snapshot(repository)


def test_a_link_through_a_link_that_leaves_is_refused(repository: Path) -> None:
    (repository / "sub").mkdir()
    (repository / "sub" / "up").symlink_to("..")
    (repository / "sneaky").symlink_to("sub/up/../x")
    with pytest.raises(UserError, match="sneaky"):
        snapshot(repository)


def test_links_inside_are_kept(repository: Path) -> None:
    (repository / "link").symlink_to("data/a b.csv")
    (repository / "dangling").symlink_to("not-there")
    assert {"link", "dangling"} <= paths(snapshot(repository))


def test_an_unreadable_file_is_named(repository: Path) -> None:
    (repository / "secret.bin").write_text("x")
    (repository / "secret.bin").chmod(0)
    if os.access(repository / "secret.bin", os.R_OK):
        pytest.skip("this user can read every file")
    with pytest.raises(UserError, match=r"secret\.bin cannot be read"):
        snapshot(repository)


def test_a_git_lfs_pointer_without_its_content_is_refused_and_with_it_is_resolved(repository: Path) -> None:
    sha256 = "a" * 64
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize 5\n"
    write_files(repository, {"model.bin": pointer})
    with pytest.raises(UserError, match="git lfs pull"):
        snapshot(repository)
    place = repository / ".git/lfs/objects/aa/aa" / sha256
    place.parent.mkdir(parents=True)
    place.write_bytes(b"12345")
    assert snapshot(repository).large_files["model.bin"].size == 5


def test_a_submodule_gives_the_files_of_its_commit(repository: Path, tmp_path: Path) -> None:
    library = make_repository(tmp_path / "library", {"lib.py": "y = 2\n", "deep/z.txt": "z"})
    git(repository, "submodule", "add", "-q", str(library), "vendor/library")
    commit_all(repository)
    taken = snapshot(repository)
    assert {"vendor/library/lib.py", "vendor/library/deep/z.txt"} <= paths(taken)
    git(repository, "submodule", "deinit", "-f", "-q", "vendor/library")
    assert {"vendor/library/lib.py", "vendor/library/deep/z.txt"} <= paths(snapshot(repository))
    shutil.rmtree(repository / ".git/modules")
    with pytest.raises(UserError, match="git submodule update --init"):
        snapshot(repository)


def test_a_nested_repository_is_left_out_and_said(repository: Path) -> None:
    make_repository(repository / "nested", {"a.txt": "a"})
    found = Git.at(repository)
    seen = survey(found, "", ".", Profile.SDK)
    assert not any(path.startswith("nested") for path in seen.sizes)
    assert [notice.id for notice in seen.notices] == ["nested-repository"]


def test_a_linked_worktree_and_a_detached_head_work(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    write_files(tmp_path / "linked", {"only-here.txt": "x"})
    taken = snapshot(tmp_path / "linked")
    assert "only-here.txt" in paths(taken)
    assert "only-here.txt" not in paths(snapshot(repository))


def test_variables_of_a_surrounding_hook_are_not_seen(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_repository(tmp_path / "other", {"x.txt": "x"})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/index.lock")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "hook")
    assert "train.py" in paths(snapshot(repository))


def test_a_repository_with_sha256_ids_works(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "sha256", PROJECT, "--object-format=sha256")
    taken = snapshot(folder)
    assert taken.tree == git(folder, "rev-parse", "HEAD^{tree}")
    write_files(folder, {"train.py": "changed"})
    assert len(snapshot(folder).commit) == 64
