"""Each way Git has to hide, filter, fetch late or keep elsewhere: the rows of the table in docs/limits.md."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from amltool.errors import UserError
from amltool.git.command import Git
from amltool.git.notices import KINDS
from amltool.git.snapshots import take
from amltool.git.survey import Survey, survey, survey_index
from amltool.limits import Profile
from tests.repositories import commit_all, git, make_repository, state_of, write_files

PROJECT: dict[str, bytes | str] = {"train.py": "print(1)\n", "src/model.py": "x = 1\n", "data/a.csv": "1,2\n"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "project", PROJECT)


def look(folder: Path, commit: str | None = None) -> Survey:
    return survey(Git.at(folder), "", ".", Profile.SDK, commit)


def look_at_index(folder: Path) -> Survey:
    return survey_index(Git.at(folder), "", Profile.SDK)


def ids(found: Survey) -> list[str]:
    return [each.id for each in found.notices]


def placed(folder: Path) -> dict[str, str]:
    """The files of the snapshot with their content, after the user's own work was seen untouched."""
    found = Git.at(folder)
    before = state_of(folder)
    taken = take(found, survey(found, "", ".", Profile.SDK))
    assert state_of(folder) == before
    with found.objects() as objects:
        return {file.path: (objects.read(file.object_id) or ("", b"?"))[1].decode() for file in taken.files}


def library(tmp_path: Path, repository: Path, files: dict[str, bytes | str] | None = None) -> Path:
    """A submodule ``lib`` with one file, committed in the project."""
    make_repository(tmp_path / "library", files or {"lib.py": "v1\n"})
    git(repository, "submodule", "--quiet", "add", str(tmp_path / "library"), "lib")
    commit_all(repository)
    return repository / "lib"


def partial_clone(repository: Path, place: Path, kind: str) -> Path:
    git(repository, "config", "uploadpack.allowFilter", "true")
    git(repository, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(place.parent, "clone", "-q", f"--filter={kind}", "--sparse", repository.as_uri(), str(place))
    git(place, "sparse-checkout", "set", "src")
    return place


def follow(remedy: str, folder: Path) -> None:
    """Run the command that a remedy names, word for word."""
    command = remedy.split("\n")[0].partition(": ")[2]
    subprocess.run(["bash", "-c", command], cwd=folder, check=True, capture_output=True)


class TestPartialAndShallowClones:
    @pytest.mark.parametrize("kind", ["blob:none", "tree:0"])
    def test_missing_content_is_named_and_its_remedy_brings_it(
        self, repository: Path, tmp_path: Path, kind: str
    ) -> None:
        clone = partial_clone(repository, tmp_path / "clone", kind)
        for found in (look(clone), look_at_index(clone)):
            (missing,) = found.notices
            assert missing.id == "missing-content"
            assert "data/a.csv" in missing.message
            assert set(found.sizes) == set(PROJECT)
        with pytest.raises(UserError, match="not in this clone"):
            take(Git.at(clone), look(clone))
        follow(look(clone).notices[0].remedy, clone)
        assert placed(clone) == PROJECT

    def test_what_the_ignore_file_leaves_out_need_not_be_here(self, repository: Path, tmp_path: Path) -> None:
        write_files(repository, {".amlignore": "data\n"})
        commit_all(repository)
        clone = partial_clone(repository, tmp_path / "clone", "blob:none")
        assert ids(look(clone)) == []
        assert "data/a.csv" not in placed(clone)

    def test_an_old_commit_without_its_trees_is_not_taken_for_an_empty_one(
        self, repository: Path, tmp_path: Path
    ) -> None:
        old = git(repository, "rev-parse", "HEAD")
        write_files(repository, {"data/a.csv": "3\n", "src/model.py": "x = 2\n"})
        commit_all(repository)
        clone = partial_clone(repository, tmp_path / "clone", "tree:0")
        with pytest.raises(UserError, match="not whole in this clone") as error:
            look(clone, old)
        follow(error.value.remedy, clone)
        assert set(look(clone, old).sizes) == set(PROJECT)

    def test_a_shallow_clone_is_whole_at_its_tip(self, repository: Path, tmp_path: Path) -> None:
        write_files(repository, {"more.txt": "x"})
        commit_all(repository)
        git(tmp_path, "clone", "-q", "--depth=1", repository.as_uri(), "clone")
        assert ids(look(tmp_path / "clone")) == []
        assert set(placed(tmp_path / "clone")) == {*PROJECT, "more.txt"}

    def test_objects_of_alternates_are_read_and_a_lost_alternate_is_said(
        self, repository: Path, tmp_path: Path
    ) -> None:
        git(tmp_path, "clone", "-q", "--shared", str(repository), "clone")
        assert placed(tmp_path / "clone") == PROJECT
        git_folder = Git.at(tmp_path / "clone")
        shutil.rmtree(repository)
        with pytest.raises(UserError, match="not whole in this clone"):
            survey(git_folder, "", ".", Profile.SDK, git_folder.head)

    def test_a_damaged_object_is_said(self, repository: Path) -> None:
        blob = git(repository, "rev-parse", "HEAD:train.py")
        place = repository / ".git/objects" / blob[:2] / blob[2:]
        place.chmod(0o644)
        place.write_bytes(b"damaged")
        assert ids(look(repository)) == ["missing-content"]

    def test_a_clone_that_borrows_objects_is_told_how_to_have_them(self, repository: Path, tmp_path: Path) -> None:
        git(tmp_path, "clone", "-q", "--shared", str(repository), "clone")
        clone = tmp_path / "clone"
        [note] = look(clone).notes
        subprocess.run(note.partition("To have them here: ")[2], shell=True, cwd=clone, check=True)
        shutil.rmtree(repository)
        assert placed(clone) == PROJECT
        assert look(clone).notes == ()


class TestHiddenChanges:
    def test_a_sparse_checkout_takes_what_is_committed(self, repository: Path) -> None:
        git(repository, "sparse-checkout", "set", "--cone", "src")
        found = look(repository)
        assert ids(found) == []
        assert any("sparse checkout" in note for note in found.notes)
        assert placed(repository) == PROJECT

    @pytest.mark.parametrize("mark", ["--assume-unchanged", "--skip-worktree"])
    @pytest.mark.parametrize("name", ["train.py", "a 'b'.txt"])
    def test_a_hidden_change_is_said_and_its_remedy_has_it_taken(self, repository: Path, mark: str, name: str) -> None:
        write_files(repository, {name: "first\n"})
        commit_all(repository)
        git(repository, "update-index", mark, name)
        assert ids(look(repository)) == []
        write_files(repository, {name: "hidden\n"})
        found = look(repository)
        assert ids(found) == ["hidden-change"]
        assert found.unclean
        assert placed(repository)[name] == "first\n"
        follow(found.notices[0].remedy, repository)
        assert ids(look(repository)) == []
        assert placed(repository)[name] == "hidden\n"

    def test_a_hidden_change_that_no_snapshot_has_is_not_said(self, repository: Path) -> None:
        write_files(repository, {".amlignore": "data\n"})
        commit_all(repository)
        git(repository, "update-index", "--assume-unchanged", "data/a.csv")
        write_files(repository, {"data/a.csv": "hidden"})
        assert ids(look(repository)) == []

    def test_a_staged_file_that_is_hidden_counts_as_staged(self, repository: Path) -> None:
        write_files(repository, {"train.py": "staged\n"})
        git(repository, "add", "train.py")
        git(repository, "update-index", "--skip-worktree", "train.py")
        (repository / "train.py").unlink()
        assert placed(repository)["train.py"] == "staged\n"


class TestFilters:
    def test_content_is_what_git_would_commit(self, repository: Path) -> None:
        git(repository, "config", "filter.upper.clean", "tr a-z A-Z")
        write_files(repository, {".gitattributes": "*.up filter=upper\n*.txt text\n", "a.up": "abc", "b.txt": "1\r\n"})
        assert placed(repository)["a.up"] == "ABC"
        assert placed(repository)["b.txt"] == "1\n"

    def test_line_ends_of_a_changed_file_depend_on_those_in_the_index(self, repository: Path) -> None:
        git(repository, "config", "core.autocrlf", "false")
        write_files(repository, {"dos.txt": "1\r\n"})
        commit_all(repository)
        git(repository, "config", "core.autocrlf", "input")
        write_files(repository, {"dos.txt": "1\r\n2\r\n", "new.txt": "1\r\n"})
        taken = placed(repository)
        git(repository, "add", "-A")
        assert taken["dos.txt"] == git(repository, "cat-file", "blob", ":dos.txt") + "\n"
        assert taken["new.txt"] == "1\n"

    @pytest.mark.parametrize("storage", ["", "elsewhere"])
    def test_large_files_weigh_what_they_are_and_are_found_in_their_own_storage(
        self, repository: Path, tmp_path: Path, storage: str
    ) -> None:
        sha256 = hashlib.sha256(b"12345" * 100).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize 500\n"
        write_files(repository, {".gitattributes": "*.bin filter=lfs -text\n", "model.bin": pointer})
        commit_all(repository)
        head = git(repository, "rev-parse", "HEAD")
        for found in (look(repository), look(repository, head), look_at_index(repository)):
            assert ids(found) == ["lfs-missing"]
            assert found.sizes["model.bin"] == 500
        place = repository / ".git/lfs"
        if storage:
            place = tmp_path / storage
            git(repository, "config", "lfs.storage", str(place))
        write_files(place, {f"objects/{sha256[:2]}/{sha256[2:4]}/{sha256}": "12345" * 100})
        found = look(repository)
        assert ids(found) == []
        assert take(Git.at(repository), found).large_files["model.bin"].size == 500

    def test_a_pointer_without_an_attribute_is_judged_alike_by_all(self, repository: Path) -> None:
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 500\n"
        write_files(repository, {"model.bin": pointer})
        commit_all(repository)
        head = git(repository, "rev-parse", "HEAD")

        for found in (look(repository), look(repository, head), look_at_index(repository)):
            assert ids(found) == ["lfs-missing"]
        with pytest.raises(UserError, match="git lfs pull"):
            take(Git.at(repository), look(repository))

    @pytest.mark.parametrize("name", [".gitignore", ".gitattributes", ".gitmodules"])
    def test_a_pipe_that_git_would_wait_for_is_refused(self, repository: Path, name: str) -> None:
        (repository / name).unlink(missing_ok=True)
        os.mkfifo(repository / name)
        with pytest.raises(UserError, match="no regular file"):
            look(repository)

    @pytest.mark.parametrize("name", [".gitignore", ".gitattributes"])
    def test_a_file_that_is_too_large_for_git_is_refused(self, repository: Path, name: str) -> None:
        with (repository / name).open("wb") as stream:
            stream.truncate(2 << 30)
        with pytest.raises(UserError, match="has 2,048 MB"):
            look(repository)


class TestSubmodules:
    def test_its_files_weigh_the_same_everywhere(self, repository: Path, tmp_path: Path) -> None:
        library(tmp_path, repository, {"lib.py": "v1\n", "deep/b.bin": "b" * 1000})
        head = git(repository, "rev-parse", "HEAD")
        assert look(repository).sizes == look_at_index(repository).sizes == look(repository, head).sizes
        assert look(repository).sizes["lib/deep/b.bin"] == 1000

    @pytest.mark.parametrize("hiding", ["none", "dirty", "untracked", "all"])
    @pytest.mark.parametrize("name", ["lib.py", "new.py"])
    def test_uncommitted_work_in_it_is_said_whatever_is_to_be_hidden(
        self, repository: Path, tmp_path: Path, hiding: str, name: str
    ) -> None:
        inner = library(tmp_path, repository)
        git(repository, "config", "-f", ".gitmodules", "submodule.lib.ignore", hiding)
        commit_all(repository)
        write_files(inner, {name: "v2\n"})
        found = look(repository)
        assert ids(found) == ["submodule-changed"]
        assert found.unclean
        assert not found.dirty
        assert placed(repository)["lib/lib.py"] == "?"
        commit_all(inner)
        found = look(repository)
        assert ids(found) == []
        assert [change.path for change in found.changes] == ["lib"]
        assert f"lib/{name}" in {file.path for file in take(Git.at(repository), found).files}

    def test_one_that_is_ignored_may_be_missing(self, repository: Path, tmp_path: Path) -> None:
        library(tmp_path, repository)
        shutil.rmtree(repository / ".git/modules")
        shutil.rmtree(repository / "lib")
        (repository / "lib").mkdir()
        assert ids(look(repository)) == ids(look_at_index(repository)) == ["submodule-missing"]
        write_files(repository, {".amlignore": "lib/\n"})
        assert ids(look(repository)) == []

    def test_a_nested_repository_is_said_unless_it_is_ignored(self, repository: Path) -> None:
        make_repository(repository / "nested", {"a.txt": "a"})
        found = look(repository)
        assert ids(found) == ["nested-repository"]
        assert found.unclean
        write_files(repository, {".amlignore": "nested\n"})
        assert ids(look(repository)) == []


class TestGitSaysWhatChanged:
    def test_a_file_that_git_was_told_to_forget_is_not_taken(self, repository: Path) -> None:
        write_files(repository, {".env": "old\n", ".amlignore": ""})
        commit_all(repository)
        git(repository, "rm", "-q", "--cached", ".env")
        write_files(repository, {".gitignore": ".env\n", ".env": "rotated\n"})
        assert ".env" not in placed(repository)
        assert "rotated" not in git(repository, "cat-file", "--batch-all-objects", "--batch")

    def test_a_folder_replaced_by_a_link_is_the_link(self, repository: Path) -> None:
        (repository / "store").mkdir()
        (repository / "data").rename(repository / "store/data")
        (repository / "data").symlink_to("store/data")
        taken = placed(repository)
        assert taken["data"] == "store/data"
        assert taken["store/data/a.csv"] == "1,2\n"
        assert "data/a.csv" not in taken

    def test_a_file_becomes_a_folder_and_back(self, repository: Path) -> None:
        (repository / "train.py").unlink()
        shutil.rmtree(repository / "data")
        write_files(repository, {"train.py/main.py": "1", "data": "2"})
        assert placed(repository) == {"src/model.py": "x = 1\n", "train.py/main.py": "1", "data": "2"}

    def test_an_announced_file_is_taken_from_the_folder_and_not_from_the_index(self, repository: Path) -> None:
        write_files(repository, {"new.csv": "rows", "empty.txt": ""})
        git(repository, "add", "empty.txt")
        git(repository, "add", "-N", "new.csv")
        assert placed(repository)["new.csv"] == "rows"
        assert set(look_at_index(repository).sizes) == {*PROJECT, "empty.txt"}
        (repository / "new.csv").unlink()
        assert set(placed(repository)) == {*PROJECT, "empty.txt"}

    def test_a_mode_that_git_does_not_look_at_stays(self, repository: Path) -> None:
        git(repository, "config", "core.fileMode", "false")
        (repository / "train.py").chmod(0o755)
        assert look(repository).changes == ()

    def test_settings_that_hide_files_from_status_hide_none(self, repository: Path) -> None:
        for name, value in {"status.showUntrackedFiles": "no", "core.quotePath": "true", "status.relativePaths": "true",
                            "diff.ignoreSubmodules": "all", "status.renames": "copies"}.items():  # fmt: skip
            git(repository, "config", name, value)
        write_files(repository, {"ümlaut.txt": "x", os.fsdecode(b"\xff.txt"): "y"})
        git(repository, "mv", "train.py", "Train.py")
        assert set(placed(repository)) == {
            "Train.py", "src/model.py", "data/a.csv", "ümlaut.txt", os.fsdecode(b"\xff.txt"),
        }  # fmt: skip

    @pytest.mark.parametrize("place", [".gitignore", ".git/info/exclude", "core.excludesFile", "environment"])
    def test_what_git_ignores_is_not_taken_wherever_it_is_told(
        self, repository: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_files(repository, {"secret.key": "s", ".amlignore": ""})
        if place == "core.excludesFile":
            write_files(tmp_path, {"excludes": "*.key\n"})
            git(repository, "config", place, str(tmp_path / "excludes"))
        elif place == "environment":
            write_files(tmp_path, {"excludes": "*.key\n"})
            monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
            monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.excludesFile")
            monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(tmp_path / "excludes"))
        else:
            write_files(repository, {place: "*.key\n"})
        assert "secret.key" not in placed(repository)

    def test_a_conflict_is_refused_only_where_it_would_be_run(self, repository: Path) -> None:
        git(repository, "checkout", "-q", "-b", "other")
        write_files(repository, {"data/a.csv": "other\n"})
        commit_all(repository)
        git(repository, "checkout", "-q", "main")
        write_files(repository, {"data/a.csv": "main\n"})
        commit_all(repository)
        with pytest.raises(subprocess.CalledProcessError):
            git(repository, "merge", "other")
        assert ids(look(repository)) == ["conflict"]
        write_files(repository, {".amlignore": "data\n"})
        assert ids(look(repository)) == []


class TestIgnoreFiles:
    def test_an_unreadable_file_stops_nothing_once_it_is_ignored(
        self, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_files(repository, {"locked.bin": "x"})
        access = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in str(path) and access(path, mode))
        assert ids(look(repository)) == ["unreadable"]
        write_files(repository, {".amlignore": "locked.bin\n"})
        assert ids(look(repository)) == []

    def test_an_amlignore_that_git_ignores_is_said_and_its_remedy_makes_it_rule(self, repository: Path) -> None:
        write_files(repository, {".gitignore": ".amlignore\n"})
        commit_all(repository)
        write_files(repository, {".amlignore": "data\n"})
        assert ids(look(repository)) == ids(look_at_index(repository)) == ["ignore-file-ignored"]
        assert "data/a.csv" in look(repository).sizes
        follow(look(repository).notices[0].remedy, repository)
        assert ids(look(repository)) == ids(look_at_index(repository)) == []
        assert "data/a.csv" not in look(repository).sizes

    def test_an_amlignore_in_a_folder_is_a_plain_file(self, repository: Path) -> None:
        write_files(repository, {"data/.amlignore": "*\n"})
        assert {"data/.amlignore", "data/a.csv"} <= set(look(repository).sizes)

    def test_a_link_that_leaves_the_snapshot_is_refused_at_every_door(self, repository: Path) -> None:
        (repository / "link").symlink_to("/etc/hostname")
        assert ids(look(repository)) == ["link-out"]
        commit_all(repository)
        head = git(repository, "rev-parse", "HEAD")
        assert ids(look(repository)) == ids(look_at_index(repository)) == ids(look(repository, head)) == ["link-out"]

    def test_a_file_where_the_run_needs_a_folder_is_refused_at_every_door(self, repository: Path) -> None:
        write_files(repository, {"logs": "x"})
        assert ids(look(repository)) == ["logs-file"]
        commit_all(repository)
        assert ids(look_at_index(repository)) == ["logs-file"]


def test_every_notice_is_in_the_documented_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()
    assert [name for name in KINDS if f"`{name}`" not in page] == []
