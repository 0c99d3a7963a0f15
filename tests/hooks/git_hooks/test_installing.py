"""Installing beside what stands there, and taking away again without a trace."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from pathlib import Path

import pytest

from amltool.commands.hooks import install_hooks, uninstall_hooks
from amltool.errors import UserError
from amltool.git import hook_scripts
from amltool.git.hook_scripts import HOOKS, Done
from tests.hooks.git_hooks.hooked import (
    HEAVY,
    NAME,
    REFUSED,
    ROOT,
    add,
    amltool,
    head,
    make_limited,
    run,
    tell_git,
    write_hook,
)
from tests.repositories import git

Standing = dict[str, tuple[int, bytes | str]]

SAYS_AND_REFUSES = "#!/bin/sh\necho standing hook here >&2\nexit 7\n"
SAYS = "#!/bin/sh\necho standing hook here >&2\n"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A repository without hooks of ours."""
    folder = make_limited(tmp_path / NAME)
    shutil.rmtree(folder / ".git/hooks")
    return folder


def standing_in(folder: Path) -> Standing:
    """Every hook of a folder: mode, and content or where a link points."""
    return {
        place.name: (place.lstat().st_mode, str(place.readlink()) if place.is_symlink() else place.read_bytes())
        for place in sorted(folder.iterdir())
    }


def done_by_name(changes: tuple[hook_scripts.HookChange, ...]) -> dict[str, Done]:
    return {change.name: change.done for change in changes}


def commit_small(folder: Path) -> tuple[int, str]:
    add(folder, "small.bin", b"1")
    said = tell_git(folder, "commit", "-q", "-m", "small")
    return said.exit_code, said.text


def test_every_hook_is_installed_executable_where_there_is_none(plain: Path) -> None:
    changes = install_hooks(plain)

    assert done_by_name(changes) == dict.fromkeys(HOOKS, Done.INSTALLED)
    assert all(stat.S_IMODE(change.place.stat().st_mode) == 0o755 for change in changes)
    assert git(plain, "config", "--local", "amltool.hookPython") == sys.executable


def test_installing_again_changes_nothing(plain: Path) -> None:
    write_hook(plain, "pre-commit", SAYS)
    install_hooks(plain)
    before = standing_in(plain / ".git/hooks")

    changes = install_hooks(plain)

    assert set(done_by_name(changes).values()) == {Done.UNCHANGED}
    assert standing_in(plain / ".git/hooks") == before


def test_core_hooks_path_is_never_set(plain: Path) -> None:
    install_hooks(plain)

    assert tell_git(plain, "config", "core.hooksPath").exit_code == 1


# a hook that stands there


def test_a_hook_that_stands_there_runs_first(plain: Path) -> None:
    write_hook(plain, "post-commit", SAYS)

    changes = install_hooks(plain)
    exit_code, text = commit_small(plain)

    assert done_by_name(changes)["post-commit"] is Done.CHAINED
    assert exit_code == 0
    assert text.index("standing hook here") < text.index("amltool: snapshot")


def test_the_refusal_of_a_hook_that_stands_there_is_respected(plain: Path) -> None:
    before = head(plain)
    write_hook(plain, "pre-commit", SAYS_AND_REFUSES)
    install_hooks(plain)

    exit_code, text = commit_small(plain)

    assert exit_code == 1
    assert "standing hook here" in text
    assert head(plain) == before


def test_a_hook_in_another_language_is_chained_with_its_arguments_and_input(plain: Path, tmp_path: Path) -> None:
    script = (
        f"#!{sys.executable}\nimport sys\nprint(['seen', sys.argv[1:], sys.stdin.read().split()[2]], file=sys.stderr)\n"
    )
    write_hook(plain, "pre-push", script)
    install_hooks(plain)
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    git(plain, "remote", "add", "origin", str(tmp_path / "bare.git"))

    passed = tell_git(plain, "push", "-q", "origin", "HEAD:refs/heads/good")
    add(plain, "big.bin", HEAVY)
    git(plain, "commit", "-q", "--no-verify", "-m", "big")
    refused = tell_git(plain, "push", "-q", "origin", "HEAD:refs/heads/bad")

    assert f"['seen', ['origin', '{tmp_path / 'bare.git'}'], 'refs/heads/good']" in passed.text
    assert passed.exit_code == 0
    assert "'refs/heads/bad'" in refused.text
    assert REFUSED in refused.text  # ours read the same input after it
    assert refused.exit_code == 1


def test_a_hook_that_does_not_read_its_input_is_chained(plain: Path, tmp_path: Path) -> None:
    write_hook(plain, "pre-push", SAYS)
    install_hooks(plain)
    git(tmp_path, "init", "-q", "--bare", "bare.git")

    said = tell_git(plain, "push", "-q", str(tmp_path / "bare.git"), "HEAD:refs/heads/good")

    assert (said.exit_code, said.text) == (0, "standing hook here\n")


def test_a_linked_hook_is_chained_and_its_link_restored(plain: Path) -> None:
    (plain / "our hooks").mkdir()
    (plain / "our hooks/check").write_text(SAYS_AND_REFUSES)
    (plain / "our hooks/check").chmod(0o755)
    (plain / ".git/hooks").mkdir()
    (plain / ".git/hooks/pre-commit").symlink_to("../../our hooks/check")

    install_hooks(plain)
    exit_code, text = commit_small(plain)
    uninstall_hooks(plain)

    assert (exit_code, text) == (1, "standing hook here\n")
    assert (plain / "our hooks/check").read_text() == SAYS_AND_REFUSES
    assert str((plain / ".git/hooks/pre-commit").readlink()) == "../../our hooks/check"


def test_a_hook_that_git_did_not_run_is_kept_and_not_run(plain: Path) -> None:
    write_hook(plain, "pre-commit", SAYS_AND_REFUSES, mode=0o644)
    install_hooks(plain)

    assert commit_small(plain)[0] == 0


@pytest.mark.parametrize(
    "content",
    ['#!/bin/sh\n. "$(dirname "$0")/all" "$(basename -- "$0")"\n', "#!/usr/bin/env ruby\nrun File.basename($0)\n"],
)
def test_a_hook_that_asks_for_its_own_name_is_left_alone_with_what_to_add(plain: Path, content: str) -> None:
    """Renamed it would do nothing, or fail."""
    place = write_hook(plain, "pre-commit", content)

    changed = next(change for change in install_hooks(plain) if change.name == "pre-commit")

    assert changed.done is Done.LEFT_ALONE
    assert 'amltool hooks.run pre-commit -- "$@"' in changed.reason
    assert place.read_text() == content


# taking away


def test_uninstalling_restores_byte_for_byte(plain: Path) -> None:
    write_hook(plain, "pre-commit", SAYS_AND_REFUSES, mode=0o750)
    write_hook(plain, "post-rewrite", "\x00 no text, no end of line", mode=0o600)
    write_hook(plain, "commit-msg", "#!/bin/sh\n", mode=0o755)
    before, configuration = standing_in(plain / ".git/hooks"), (plain / ".git/config").read_bytes()

    install_hooks(plain, strict=True)
    changes = uninstall_hooks(plain)

    assert standing_in(plain / ".git/hooks") == before
    assert done_by_name(changes)["pre-commit"] is Done.RESTORED
    assert done_by_name(changes)["pre-push"] is Done.REMOVED
    assert git(plain, "config", "--local", "--list").count("amltool") == 0
    assert configuration in (plain / ".git/config").read_bytes()


def test_hooks_of_others_are_left_alone(plain: Path) -> None:
    write_hook(plain, "pre-commit", SAYS)
    before = standing_in(plain / ".git/hooks")

    changes = uninstall_hooks(plain)

    assert done_by_name(changes)["pre-commit"] is Done.LEFT_ALONE
    assert done_by_name(changes)["pre-push"] is Done.ABSENT
    assert standing_in(plain / ".git/hooks") == before


def test_what_another_tool_put_over_ours_is_left_alone(plain: Path) -> None:
    write_hook(plain, "pre-commit", SAYS_AND_REFUSES)
    install_hooks(plain)
    write_hook(plain, "pre-commit", SAYS)
    before = standing_in(plain / ".git/hooks")

    installed, uninstalled = done_by_name(install_hooks(plain)), done_by_name(uninstall_hooks(plain))

    assert installed["pre-commit"] is uninstalled["pre-commit"] is Done.LEFT_ALONE
    assert {name: standing_in(plain / ".git/hooks")[name] for name in ("pre-commit", "pre-commit.before-amltool")} == {
        name: before[name] for name in ("pre-commit", "pre-commit.before-amltool")
    }


# upgrades


def test_an_older_script_is_renewed_and_its_chain_kept(plain: Path) -> None:
    write_hook(plain, "pre-commit", SAYS)
    install_hooks(plain)
    place = write_hook(plain, "pre-commit", "#!/bin/sh\n# amltool hook 0 - of long ago\nexit 9\n")

    changes = install_hooks(plain)

    assert done_by_name(changes)["pre-commit"] is Done.RENEWED
    assert place.read_bytes() == (ROOT / "hooks/pre-commit").read_bytes()
    assert "standing hook here" in commit_small(plain)[1]


def test_a_script_of_a_newer_amltool_is_left_alone(plain: Path) -> None:
    place = write_hook(plain, "pre-commit", "#!/bin/sh\n# amltool hook 999999\n")

    assert done_by_name(install_hooks(plain))["pre-commit"] is Done.LEFT_ALONE
    assert place.read_text().endswith("999999\n")


def test_a_script_that_lost_its_executable_bit_is_renewed(plain: Path) -> None:
    place = install_hooks(plain)[0].place
    place.chmod(0o644)

    assert install_hooks(plain)[0].done is Done.RENEWED
    assert stat.S_IMODE(place.stat().st_mode) == 0o755


def test_an_installation_that_was_cut_off_is_completed(plain: Path) -> None:
    """Killed between keeping the hook and placing ours: both names hold it."""
    place = write_hook(plain, "pre-commit", SAYS_AND_REFUSES)
    shutil.copy2(place, place.with_name("pre-commit.before-amltool"))

    assert done_by_name(install_hooks(plain))["pre-commit"] is Done.CHAINED
    assert commit_small(plain) == (1, "standing hook here\n")


def test_a_kept_hook_is_run_again_once_our_script_is_back(plain: Path) -> None:
    write_hook(plain, "pre-commit", SAYS_AND_REFUSES)
    install_hooks(plain)[0].place.unlink()

    assert done_by_name(install_hooks(plain))["pre-commit"] is Done.CHAINED
    assert commit_small(plain)[0] == 1


# core.hooksPath


def test_hooks_go_where_core_hooks_path_says_inside_the_repository(plain: Path) -> None:
    git(plain, "config", "core.hooksPath", "tools/git hooks")

    changes = install_hooks(plain)
    add(plain, "big.bin", HEAVY)

    assert {change.place.parent for change in changes} == {plain / "tools/git hooks"}
    assert str(ROOT) not in changes[0].place.read_text()  # such a folder is committed: nothing of this machine in it
    assert tell_git(plain, "commit", "-m", "big").exit_code == 1


def test_a_hooks_path_outside_the_repository_is_explained(plain: Path, tmp_path: Path) -> None:
    git(plain, "config", "core.hooksPath", str(tmp_path / "everywhere"))

    with pytest.raises(UserError) as refused:
        install_hooks(plain)

    assert "outside this repository" in refused.value.what
    assert 'amltool hooks.run pre-commit -- "$@"' in refused.value.remedy
    assert not (tmp_path / "everywhere").exists()


def test_hooks_from_before_core_hooks_path_was_set_are_taken_away(plain: Path, tmp_path: Path) -> None:
    install_hooks(plain)
    git(plain, "config", "core.hooksPath", str(tmp_path / "everywhere"))

    uninstall_hooks(plain)

    assert standing_in(plain / ".git/hooks") == {}


def test_a_folder_that_husky_writes_is_explained(plain: Path) -> None:
    (plain / ".husky/_").mkdir(parents=True)
    (plain / ".husky/_/h").write_text("")
    git(plain, "config", "core.hooksPath", ".husky/_")

    with pytest.raises(UserError, match="husky"):
        install_hooks(plain)


def test_linked_work_trees_share_the_hooks(plain: Path) -> None:
    linked = plain.parent / "linked"
    git(plain, "worktree", "add", "-q", str(linked))

    changes = install_hooks(linked)

    assert {change.place.parent for change in changes} == {plain / ".git/hooks"}
    assert set(done_by_name(install_hooks(plain)).values()) == {Done.UNCHANGED}


def test_a_folder_that_cannot_be_written_is_a_clear_sentence(plain: Path) -> None:
    (plain / ".git/hooks").write_text("a file where the folder belongs")

    with pytest.raises(UserError, match="Cannot write"):
        install_hooks(plain)


# how the scripts get here


def test_an_installed_package_carries_its_own_scripts(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the wheel lays them out: pyproject.toml puts hooks/ at amltool/hooks/scripts."""
    site = tmp_path / "site"
    shutil.copytree(ROOT / "amltool", site / "amltool", ignore=shutil.ignore_patterns("__pycache__", "scripts"))
    shutil.copytree(ROOT / "hooks", site / "amltool/hooks/scripts")
    monkeypatch.setenv("PYTHONPATH", str(site))
    asked = "import amltool.git.hook_scripts as found; print(found.find_scripts())"

    place = run(tmp_path, sys.executable, "-c", asked)
    installed = amltool(plain, "hooks.install")
    add(plain, "big.bin", HEAVY)

    assert place.text.strip() == str(site / "amltool/hooks/scripts")
    assert installed.exit_code == 0
    assert tell_git(plain, "commit", "-m", "big").exit_code == 1


def test_a_package_without_its_scripts_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_scripts, "__file__", str(tmp_path / "amltool/git/hook_scripts.py"))

    with pytest.raises(UserError, match="not wholly installed"):
        hook_scripts.find_scripts()


def test_every_hook_has_its_script() -> None:
    assert {place.name for place in (ROOT / "hooks").iterdir()} == set(HOOKS)


# the tasks


def test_the_task_says_what_became_of_each_hook(plain: Path) -> None:
    write_hook(plain, "pre-push", SAYS)

    said = amltool(plain, "hooks.install")

    assert said.exit_code == 0
    assert [line.split()[0] for line in said.text.splitlines()] == list(HOOKS)
    assert "runs the hook that stood there first" in said.text


def test_the_task_prints_json(plain: Path) -> None:
    amltool(plain, "hooks.install")

    rows = json.loads(amltool(plain, "hooks.uninstall", "--json").text)

    assert [row["name"] for row in rows] == list(HOOKS)
    assert {row["done"] for row in rows} == {"removed"}


def test_hooks_of_others_can_call_ours(plain: Path) -> None:
    add(plain, "big.bin", HEAVY)

    refused = amltool(plain, "hooks.run", "pre-commit")
    git(plain, "rm", "-q", "--cached", "big.bin")
    passed = amltool(plain, "hooks.run", "pre-push", "--", "origin", "a b")

    assert refused.exit_code == 10
    assert REFUSED in refused.text
    assert passed.exit_code == 0


def test_a_hook_that_cannot_look_does_not_stop_others(plain: Path) -> None:
    said = amltool(plain, "hooks.run", "applypatch-msg")

    assert said.exit_code == 0
    assert "was not checked: there is no hook 'applypatch-msg'" in said.text


def test_outside_a_repository_the_task_is_a_user_error(tmp_path: Path) -> None:
    said = amltool(tmp_path, "hooks.install")

    assert said.exit_code == 1
    assert "is not in a Git repository" in said.text
