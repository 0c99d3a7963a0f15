"""What the installed hooks say to real Git commands, and when they stop them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from amltool.commands.hooks import install_hooks
from tests.hooks.hooked import (
    HEAVY,
    LIMITS,
    NAME,
    NEARLY,
    REFUSED,
    ROOT,
    head,
    make_limited,
    record_run,
    run,
    tell_git,
)
from tests.repositories import commit_all, git, make_repository, write_files

HEAVY_MODULES = ("invoke", "rich", "git", "docker", "paramiko", "jmespath", "asyncio", "unittest")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an installation gives: the recorded interpreter finds amltool."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = make_limited(tmp_path / NAME)
    install_hooks(folder)
    return folder


@pytest.fixture(params=["main", "linked"])
def work_tree(request: pytest.FixtureRequest, repository: Path) -> Path:
    """The main and a linked work tree of one repository; the hooks were installed in the main one."""
    if request.param == "main":
        return repository
    linked = repository.parent / f"linked {NAME}"
    git(repository, "worktree", "add", "-q", "-b", "linked", str(linked))
    return linked


def add(folder: Path, name: str, content: bytes) -> None:
    write_files(folder, {name: content})
    git(folder, "add", "--", name)


def commit_unchecked(folder: Path, name: str, content: bytes) -> str:
    add(folder, name, content)
    git(folder, "commit", "-q", "--no-verify", "-m", name)
    return head(folder)


# commit


def test_a_commit_within_the_limits_is_made_and_its_weight_is_told_in_one_line(work_tree: Path) -> None:
    add(work_tree, "small.bin", b"x" * 1_000)

    said = tell_git(work_tree, "commit", "-q", "-m", "small")

    assert said.exit_code == 0
    assert len(said.lines) == 1
    assert f"snapshot {head(work_tree)[:7]} weighs 1.07 KB of 0.0078125 MB (13%) in 3 of 20 files (15%)" in said.lines[0]


def test_a_commit_over_the_limits_is_refused_with_offenders_and_remedies(work_tree: Path) -> None:
    before = head(work_tree)
    add(work_tree, "data/big one.bin", HEAVY)

    said = tell_git(work_tree, "commit", "-m", "big")

    assert said.exit_code == 1
    assert head(work_tree) == before
    for words in (REFUSED, "data/big one.bin", "\n     /data/big one.bin\n", "git rm --cached", "max_size = ", "--no-verify"):
        assert words in said.text


def test_a_refused_commit_can_be_made_all_the_same(repository: Path) -> None:
    add(repository, "big.bin", HEAVY)

    said = tell_git(repository, "commit", "-q", "--no-verify", "-m", "big")

    assert said.exit_code == 0
    assert said.lines[-1].endswith("over the limits, see: amltool check")


@pytest.mark.parametrize("words", [["-a", "-m", "all"], ["-m", "one", "train.py"], ["--amend", "-a", "--no-edit"]])
def test_a_heavy_file_is_refused_however_it_is_committed(work_tree: Path, words: list[str]) -> None:
    before = head(work_tree)
    write_files(work_tree, {"train.py": HEAVY})

    said = tell_git(work_tree, "commit", *words)

    assert said.exit_code == 1
    assert REFUSED in said.text
    assert head(work_tree) == before


def test_a_partial_commit_is_judged_by_what_it_takes(work_tree: Path) -> None:
    """Git makes an index of its own for it; what is staged beside is not in the commit."""
    add(work_tree, "big.bin", HEAVY)
    write_files(work_tree, {"train.py": "print(2)\n"})

    said = tell_git(work_tree, "commit", "-q", "-m", "one", "train.py")

    assert said.exit_code == 0
    assert git(work_tree, "diff", "--cached", "--name-only") == "big.bin"


def test_what_is_staged_counts_and_not_what_lies_in_the_folder(repository: Path) -> None:
    add(repository, "data.bin", b"x")
    write_files(repository, {"data.bin": HEAVY})

    assert tell_git(repository, "commit", "-q", "-m", "small").exit_code == 0


def test_the_first_commit_of_a_repository_is_judged(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / NAME)
    install_hooks(folder)
    write_files(folder, {"pyproject.toml": LIMITS, "big.bin": HEAVY})
    git(folder, "add", "-A")

    refused = tell_git(folder, "commit", "-m", "first")
    git(folder, "rm", "-q", "--cached", "big.bin")
    made = tell_git(folder, "commit", "-q", "-m", "first")

    assert (refused.exit_code, made.exit_code) == (1, 0)
    assert REFUSED in refused.text


def test_a_warning_is_seen_and_does_not_block(repository: Path) -> None:
    add(repository, "data.bin", NEARLY)

    said = tell_git(repository, "commit", "-q", "-m", "nearly")

    assert said.exit_code == 0
    assert "Your total snapshot size is 4.9" in said.lines[0]
    assert "warned of above" in said.lines[-1]


def test_mistaken_settings_are_refused_with_file_and_line(repository: Path) -> None:
    write_files(repository, {"pyproject.toml": LIMITS + 'max_sise = "1 MB"\n'})

    said = tell_git(repository, "commit", "-am", "settings")

    assert said.exit_code == 1
    assert "pyproject.toml:5" in said.text
    assert "Traceback" not in said.text


def test_each_project_of_a_repository_has_its_own_limits(tmp_path: Path) -> None:
    settings = "limits:\n  max_size: 8 KB\n"
    folder = make_repository(tmp_path / NAME, {"a b/aml_config/project.yml": settings, "readme": "x"})
    install_hooks(folder)
    add(folder, "big.bin", HEAVY)
    beside = tell_git(folder, "commit", "-q", "-m", "in no project")
    add(folder, "a b/big.bin", HEAVY)

    inside = tell_git(folder, "commit", "-m", "in the project")

    assert beside.exit_code == 0
    assert inside.exit_code == 1
    assert "the snapshot of the project a b." in inside.text


# merge, cherry-pick, rebase


def heavy_together(folder: Path) -> None:
    """Two branches, each within the limits, that are over them once merged."""
    git(folder, "switch", "-q", "-c", "other")
    commit_unchecked(folder, "b.bin", NEARLY)
    git(folder, "switch", "-q", "-c", "mine", "HEAD~1")
    commit_unchecked(folder, "a.bin", NEARLY)


def test_a_merge_that_is_over_the_limits_is_refused(work_tree: Path) -> None:
    """Git does not run pre-commit for it, but pre-merge-commit."""
    heavy_together(work_tree)
    before = head(work_tree)

    said = tell_git(work_tree, "merge", "other", "-m", "both")

    assert said.exit_code != 0
    assert REFUSED in said.text
    assert head(work_tree) == before


def test_a_merge_with_conflicts_is_judged_when_it_is_committed(work_tree: Path) -> None:
    heavy_together(work_tree)
    commit_unchecked(work_tree, "train.py", b"mine\n")
    git(work_tree, "switch", "-q", "other")
    commit_unchecked(work_tree, "train.py", b"other\n")
    assert tell_git(work_tree, "merge", "mine").exit_code == 1
    add(work_tree, "train.py", b"both\n")

    refused = tell_git(work_tree, "commit", "-m", "both")
    git(work_tree, "rm", "-q", "--cached", "a.bin")
    made = tell_git(work_tree, "commit", "-q", "-m", "both")

    assert refused.exit_code == 1
    assert REFUSED in refused.text
    assert made.exit_code == 0


def test_what_is_cherry_picked_is_weighed(work_tree: Path) -> None:
    heavy_together(work_tree)

    said = tell_git(work_tree, "cherry-pick", "other")

    assert said.exit_code == 0
    assert [line.endswith("over the limits, see: amltool check") for line in said.lines] == [True]


def test_a_rebase_goes_through_without_a_line_for_each_commit(work_tree: Path) -> None:
    git(work_tree, "switch", "-q", "-c", "topic")
    for name in ("one", "two", "three"):
        commit_unchecked(work_tree, name, b"1")
    git(work_tree, "switch", "-q", "-c", "base", "HEAD~3")
    commit_unchecked(work_tree, "base", b"1")
    git(work_tree, "switch", "-q", "topic")

    said = tell_git(work_tree, "rebase", "base")

    assert said.exit_code == 0
    assert said.lines == []
    assert git(work_tree, "rev-list", "--count", "base..topic") == "3"


# rewritten commits


def test_an_amended_commit_names_its_runs(work_tree: Path) -> None:
    record = record_run(work_tree)
    old = head(work_tree)

    said = tell_git(work_tree, "commit", "-q", "--amend", "-m", "better")

    assert "1 recorded run of commits just rewritten" in said.text
    assert f"amltool rerun {record.run_id}  ({old[:7]}, now {head(work_tree)[:7]})" in said.text


def test_a_rebase_names_the_runs_of_all_its_commits(work_tree: Path) -> None:
    git(work_tree, "switch", "-q", "-c", "topic")
    records = []
    for number, name in enumerate(("one", "two", "three"), 1):
        commit_unchecked(work_tree, name, b"1")
        records += [record_run(work_tree, number)] if name != "two" else []
    git(work_tree, "switch", "-q", "-c", "base", "HEAD~3")
    commit_unchecked(work_tree, "base", b"1")

    said = tell_git(work_tree, "rebase", "base", "topic")

    assert "2 recorded runs of commits just rewritten" in said.text
    assert [record.run_id in said.text for record in records] == [True, True]


def test_a_rewritten_snapshot_is_still_there_after_gc(repository: Path) -> None:
    record = record_run(repository)
    tell_git(repository, "commit", "-q", "--amend", "-m", "better")

    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "gc", "-q", "--prune=now")

    assert tell_git(repository, "cat-file", "-t", record.commit).text == "commit\n"


def test_commits_without_runs_are_rewritten_in_silence(repository: Path) -> None:
    record_run(repository)
    commit_unchecked(repository, "more", b"1")

    said = tell_git(repository, "commit", "-q", "--amend", "-m", "better")

    assert "recorded run" not in said.text


# push


@pytest.fixture
def remote(work_tree: Path, tmp_path: Path) -> Path:
    bare = tmp_path / f"{NAME}.git"
    git(tmp_path, "init", "-q", "--bare", str(bare))
    git(work_tree, "remote", "add", "origin", str(bare))
    return bare


def test_a_branch_within_the_limits_is_pushed_in_silence(work_tree: Path, remote: Path) -> None:
    said = tell_git(work_tree, "push", "-q", "origin", "HEAD:refs/heads/good")

    assert (said.exit_code, said.text) == (0, "")


def test_a_branch_whose_tip_is_over_the_limits_is_not_pushed(work_tree: Path, remote: Path) -> None:
    commit = commit_unchecked(work_tree, "big.bin", HEAVY)

    said = tell_git(work_tree, "push", "origin", "HEAD:refs/heads/bad", "HEAD~1:refs/heads/good")

    assert said.exit_code == 1
    assert f"amltool refuses this push. The tip {commit[:7]} of bad is over the limits." in said.text
    assert REFUSED in said.text
    assert git(remote, "for-each-ref") == ""


def test_a_heavy_commit_that_a_later_one_undid_is_pushed(work_tree: Path, remote: Path) -> None:
    commit_unchecked(work_tree, "big.bin", HEAVY)
    git(work_tree, "rm", "-q", "big.bin")
    git(work_tree, "commit", "-q", "-m", "without")

    assert tell_git(work_tree, "push", "-q", "origin", "HEAD:refs/heads/topic").exit_code == 0


def test_a_branch_can_be_deleted_whatever_it_holds(work_tree: Path, remote: Path) -> None:
    commit_unchecked(work_tree, "big.bin", HEAVY)
    tell_git(work_tree, "push", "-q", "--no-verify", "origin", "HEAD:refs/heads/bad")

    assert tell_git(work_tree, "push", "-q", "origin", ":bad").exit_code == 0
    assert git(remote, "for-each-ref") == ""


def test_our_own_refs_are_not_judged(repository: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    git(tmp_path, "init", "-q", "--bare", str(bare))
    commit_unchecked(repository, "big.bin", HEAVY)
    record_run(repository)

    said = tell_git(repository, "push", "-q", str(bare), "refs/notes/amltool/runs", "refs/amltool/snapshots")

    assert said.exit_code == 0


def test_unpushed_run_history_is_told_and_does_not_block(work_tree: Path, remote: Path) -> None:
    record_run(work_tree)

    said = tell_git(work_tree, "push", "-q", "origin", "HEAD:refs/heads/topic")

    assert said.exit_code == 0
    assert ["the run history here is not on origin yet: amltool history.push" in line for line in said.lines] == [True]


def test_pushed_run_history_is_not_told(work_tree: Path, remote: Path) -> None:
    record_run(work_tree)
    notes = git(work_tree, "rev-parse", "refs/notes/amltool/runs")
    git(work_tree, "update-ref", "refs/notes/remotes/origin/amltool/runs", notes)

    said = tell_git(work_tree, "push", "-q", "origin", "HEAD:refs/heads/topic")

    assert said.lines == []


def test_who_does_not_share_run_history_can_say_so(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    git(repository, "remote", "add", "origin", str(tmp_path / "bare.git"))
    write_files(repository, {"pyproject.toml": "[tool.amltool]\nwarn_unpushed_history = false\n" + LIMITS})
    commit_all(repository)
    record_run(repository)

    assert tell_git(repository, "push", "-q", "origin", "HEAD:refs/heads/topic").lines == []


# amltool missing or broken


@pytest.fixture
def nothing_on_path(repository: Path, tmp_path: Path) -> dict[str, str]:
    """A PATH with Git only, and an interpreter that is gone."""
    git(repository, "config", "amltool.hookPython", str(tmp_path / "gone" / "python"))
    folder = tmp_path / "only git"
    folder.mkdir()
    (folder / "git").symlink_to(str(shutil.which("git")))
    return {"PATH": str(folder)}


def test_without_amltool_a_commit_passes_and_says_so(repository: Path, nothing_on_path: dict[str, str]) -> None:
    add(repository, "big.bin", HEAVY)

    said = tell_git(repository, "commit", "-q", "-m", "big", **nothing_on_path)

    assert said.exit_code == 0
    assert said.lines[0] == (
        "amltool: not found or not whole, so pre-commit was not checked. Mend it: amltool hooks.install"
    )


def test_without_amltool_a_strict_hook_refuses(repository: Path, nothing_on_path: dict[str, str]) -> None:
    git(repository, "config", "amltool.strictHooks", "true")
    add(repository, "small.bin", b"1")

    said = tell_git(repository, "commit", "-q", "-m", "small", **nothing_on_path)

    assert said.exit_code == 1
    assert said.lines[-1] == "amltool: pre-commit refuses what it cannot check, because strict_hooks is set."


def test_the_setting_strict_hooks_is_recorded_when_hooks_are_installed(
    repository: Path, nothing_on_path: dict[str, str]
) -> None:
    write_files(repository, {"pyproject.toml": "[tool.amltool]\nstrict_hooks = true\n" + LIMITS})
    install_hooks(repository)
    git(repository, "config", "amltool.hookPython", "/gone")

    assert tell_git(repository, "commit", "-am", "settings", **nothing_on_path).exit_code == 1


def test_an_interpreter_that_is_gone_gives_way_to_amltool_on_path(
    repository: Path, nothing_on_path: dict[str, str], tmp_path: Path
) -> None:
    from tests.hooks.hooked import PROGRAM

    (tmp_path / "program.py").write_text(PROGRAM)
    command = tmp_path / "only git" / "amltool"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path / "program.py"}" "$@"\n')
    command.chmod(0o755)
    add(repository, "big.bin", HEAVY)

    said = tell_git(repository, "commit", "-m", "big", **nothing_on_path)

    assert said.exit_code == 1
    assert REFUSED in said.text


def test_an_interpreter_that_is_gone_gives_way_to_python3(
    repository: Path, nothing_on_path: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "only git" / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / "only git" / "python3").chmod(0o755)
    add(repository, "big.bin", HEAVY)

    said = tell_git(repository, "commit", "-m", "big", **nothing_on_path)

    assert said.exit_code == 1
    assert REFUSED in said.text


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, str]:
    """An amltool whose look at the index fails, as a fault of ours would."""
    package = tmp_path / "broken"
    shutil.copytree(ROOT / "amltool", package / "amltool", ignore=shutil.ignore_patterns("__pycache__"))
    with (package / "amltool/git/snapshots.py").open("a") as file:
        file.write("\n\ndef survey_index(*given):\n    raise KeyError('planted\\nfault')\n")
    return {"PYTHONPATH": str(package)}


def test_a_fault_of_ours_lets_a_commit_pass_and_says_so_in_one_line(repository: Path, broken: dict[str, str]) -> None:
    add(repository, "small.bin", b"1")

    said = tell_git(repository, "commit", "-q", "-m", "small", **broken)

    assert said.exit_code == 0
    assert "pre-commit was not checked: KeyError" in said.lines[0]
    assert "a fault of amltool's" in said.lines[0]
    assert "Traceback" not in said.text


def test_a_fault_of_ours_is_refused_where_the_hooks_are_strict(repository: Path, broken: dict[str, str]) -> None:
    install_hooks(repository, strict=True)
    add(repository, "small.bin", b"1")

    assert tell_git(repository, "commit", "-q", "-m", "small", **broken).exit_code == 1


# surroundings


def test_nothing_is_imported_from_the_repository(repository: Path) -> None:
    """Python looks into the current folder first, where a user's module may be called like one of its own."""
    trap = b"raise SystemExit('imported from the repository')\n"
    write_files(repository, {name: trap for name in ("re.py", "subprocess.py", "amltool/__init__.py", "msgspec.py")})
    git(repository, "add", "-A")

    said = tell_git(repository, "commit", "-q", "-m", "modules")

    assert said.exit_code == 0
    assert "imported from" not in said.text
    assert "weighs" in said.lines[0]


def test_a_repository_that_git_dir_names_is_not_mistaken_for_another(repository: Path, tmp_path: Path) -> None:
    """Dotfiles are kept so: what Git works on is not what the folder lies in."""
    apart = tmp_path / "apart.git"
    git(tmp_path, "init", "-q", "--bare", str(apart))
    shutil.copy(repository / ".git/hooks/pre-commit", apart / "hooks/pre-commit")
    git(apart, "config", "amltool.hookPython", sys.executable)
    add(repository, "big.bin", HEAVY)
    there = [f"--git-dir={apart}", f"--work-tree={repository}", "-c", "core.bare=false"]
    git(repository, *there, "add", "train.py")

    said = tell_git(repository, *there, "commit", "-q", "-m", "apart")

    assert said.exit_code == 0
    assert "pre-commit was not checked: GIT_DIR names" in said.lines[0]


def test_a_commit_from_a_folder_below_is_judged_by_the_whole_project(repository: Path) -> None:
    add(repository, "data/big.bin", HEAVY)

    assert tell_git(repository / "data", "commit", "-m", "big").exit_code == 1


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_the_script_is_for_any_shell(repository: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not on this machine")
    words = {"bash": ("bash", "--posix"), "busybox": ("busybox", "sh")}.get(shell, (shell,))
    add(repository, "big.bin", HEAVY)

    said = run(repository, *words, str(repository / ".git/hooks/pre-commit"))

    assert said.exit_code == 1
    assert REFUSED in said.text


@pytest.mark.parametrize("hook", ["pre-commit", "post-commit", "pre-push", "post-rewrite"])
def test_no_heavy_module_is_loaded(repository: Path, hook: str) -> None:
    """It stands before every commit: Invoke alone costs ten times what Python's own start does."""
    script = str(repository / ".git/hooks" / hook)

    said = run(repository, script, input=b"", PYTHONPROFILEIMPORTTIME="1")

    loaded = {line.split("|")[2].strip().partition(".")[0] for line in said.text.splitlines() if line.count("|") == 2}
    assert said.exit_code == 0
    assert "amltool" in loaded
    assert not loaded & set(HEAVY_MODULES)
