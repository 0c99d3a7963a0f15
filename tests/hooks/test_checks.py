from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.checks.test_secrets import CONNECTION, KEY, PRIVATE_KEY, SAS, SIGNATURE
from tests.hooks.checked import MB, ROOT, check, install_hook, sized_tree
from tests.repositories import commit_all, git, make_repository, write_files

CANARY = "Canary7Zq4Yx"
REFUSED = 1
QUICK = ("-c", "core.compression=1")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = make_repository(tmp_path / "work", {"train.py": "print(1)\n"})
    git(folder, "config", "core.compression", "1")
    return folder


def heavy(repository: Path, size: int) -> None:
    """Stage a tree that weighs exactly so much, with train.py in it."""
    sized_tree(repository, {"data.bin": size - 9})


class TestLimits:
    def test_301_mb_are_refused(self, repository: Path) -> None:
        heavy(repository, 301 * MB)
        done = check(repository, "limits")
        assert done.returncode == REFUSED
        assert "Your total snapshot size exceeds the limit of 300.0 MB." in done.stdout
        assert "1.00 MB too much" in done.stdout
        assert "     /data.bin" in done.stdout
        assert "git rm --cached -r --ignore-unmatch -- data.bin" in done.stdout
        assert 'max_size = "301 MB"' in done.stdout

    def test_300_mb_exactly_pass_with_a_warning(self, repository: Path) -> None:
        heavy(repository, 300 * MB)
        done = check(repository, "limits")
        assert done.returncode == 0
        assert done.stdout.startswith("warning: Your total snapshot size is 300.00 MB")

    def test_26_mb_are_a_warning_and_the_workbench_refuses_them(self, repository: Path) -> None:
        heavy(repository, 26 * MB)
        done = check(repository, "limits")
        assert (done.returncode, done.stdout[:8]) == (0, "warning:")
        done = check(repository, "limits", "--profile", "workbench")
        assert done.returncode == REFUSED
        assert "Your total project size is 26.00 MB which exceeds the limit of 25 MB." in done.stdout

    def test_2000_files_pass_and_2001_are_refused(self, repository: Path) -> None:
        write_files(repository, {f"many/{number}": "x" for number in range(1999)})
        git(repository, "add", "-A")
        assert check(repository, "limits").returncode == 0
        write_files(repository, {"many/one more": "x"})
        git(repository, "add", "-A")
        done = check(repository, "limits")
        assert done.returncode == REFUSED
        assert "Your project exceeds the file limit of 2000." in done.stdout
        assert "1 too many" in done.stdout

    def test_the_index_counts_and_not_the_files_on_disk(self, repository: Path) -> None:
        write_files(repository, {"a.bin": b"x" * 5000})
        assert check(repository, "limits", "--max-size", "1KB").returncode == 0
        git(repository, "add", "a.bin")
        write_files(repository, {"a.bin": b"x"})
        assert check(repository, "limits", "--max-size", "1KB").returncode == REFUSED

    def test_what_the_ignore_file_in_the_index_leaves_out_does_not_count(self, repository: Path) -> None:
        write_files(repository, {"a.bin": b"x" * 5000, ".amlignore": "*.bin\n"})
        git(repository, "add", "-A")
        assert check(repository, "limits", "--max-size", "1KB").returncode == 0

    def test_settings_rule_and_arguments_rule_over_them(self, repository: Path) -> None:
        write_files(repository, {"pyproject.toml": "[tool.amltool]\nmax_file_size = 9\nlimits = {max_files = 1}\n"})
        git(repository, "add", "-A")
        said = check(repository, "limits").stdout
        assert "exceeds the file limit of 1." in said
        assert "1 file is over 9 bytes:" in said
        assert check(repository, "limits", "--max-files", "2", "--max-file-size", "1MB").returncode == 0

    def test_json_is_one_document_with_the_keys_of_check(self, repository: Path) -> None:
        done = check(repository, "limits", "--json", "--max-files", "0")
        document = json.loads(done.stdout)
        assert done.returncode == REFUSED
        assert document["ok"] is False
        assert document["problems"][0]["id"] == "files"
        assert (document["files"], document["size"], document["limits"]["max_files"]) == (1, 9, 0)

    def test_a_project_in_a_folder_is_weighed_alone(self, repository: Path) -> None:
        write_files(repository, {"sub/aml_config/x.txt": "x", "sub/a": "x" * 99, "big.bin": b"x" * 9000})
        git(repository, "add", "-A")
        document = json.loads(check(repository / "sub", "limits", "--json").stdout)
        assert (document["files"], document["size"]) == (2, 100)

    def test_a_repository_without_a_commit_is_weighed(self, tmp_path: Path) -> None:
        make_repository(tmp_path / "new")
        assert check(tmp_path / "new", "limits").returncode == 0
        write_files(tmp_path / "new", {"a": "x" * 99})
        git(tmp_path / "new", "add", "a")
        assert json.loads(check(tmp_path / "new", "limits", "--json").stdout)["size"] == 99

    def test_the_commit_that_is_pushed_counts_and_not_the_index(self, repository: Path) -> None:
        write_files(repository, {"a.bin": b"x" * 5000})
        heavy_commit = commit_all(repository)
        git(repository, "rm", "-q", "--cached", "a.bin")
        variables = {"PRE_COMMIT_TO_REF": heavy_commit, "PRE_COMMIT_FROM_REF": git(repository, "rev-parse", "HEAD~1")}
        assert check(repository, "limits", "--max-size", "1KB").returncode == 0
        assert check(repository, "limits", "--max-size", "1KB", **variables).returncode == REFUSED

    def test_the_branch_of_a_first_push_counts(self, repository: Path) -> None:
        write_files(repository, {"a.bin": b"x" * 5000})
        commit_all(repository)
        git(repository, "rm", "-q", "--cached", "a.bin")
        variables = {"PRE_COMMIT_REMOTE_NAME": "origin", "PRE_COMMIT_LOCAL_BRANCH": "refs/heads/main"}
        assert check(repository, "limits", "--max-size", "1KB", **variables).returncode == REFUSED


class TestGit:
    """Within real hooks, whose environment names another index and Git folder."""

    def limit(self, repository: Path, files: int) -> None:
        install_hook(repository, "pre-commit", f"limits --max-files {files}")

    def commit(self, folder: Path, *arguments: str) -> int:
        return subprocess.run(["git", "commit", "-qm", "x", *arguments], cwd=folder, capture_output=True).returncode

    def test_a_commit_of_everything_is_weighed(self, repository: Path) -> None:
        self.limit(repository, 1)
        write_files(repository, {"train.py": "print(2)\n"})
        assert self.commit(repository, "-a") == 0
        write_files(repository, {"b": "x"})
        git(repository, "add", "b")
        assert self.commit(repository) != 0

    def test_a_partial_commit_is_weighed_as_what_it_will_hold(self, repository: Path) -> None:
        self.limit(repository, 2)
        write_files(repository, {"a": "x", "b": "x"})
        git(repository, "add", "a", "b")
        assert self.commit(repository) != 0
        assert self.commit(repository, "a") == 0

    def test_a_partial_commit_from_a_folder_below_is_weighed(self, repository: Path) -> None:
        self.limit(repository, 2)
        write_files(repository, {"sub/a": "x", "sub/b": "x"})
        git(repository, "add", "-A")
        assert self.commit(repository / "sub", "a") == 0

    def test_a_linked_worktree_is_weighed_by_its_own_index(self, repository: Path, tmp_path: Path) -> None:
        self.limit(repository, 2)
        git(repository, "worktree", "add", "-q", str(tmp_path / "linked"))
        write_files(tmp_path / "linked", {"a": "x"})
        git(tmp_path / "linked", "add", "a")
        assert self.commit(tmp_path / "linked") == 0
        write_files(tmp_path / "linked", {"b": "x"})
        git(tmp_path / "linked", "add", "b")
        assert self.commit(tmp_path / "linked") != 0
        assert self.commit(repository, "--allow-empty") == 0

    def test_a_hook_of_another_repository_does_not_show_through(self, repository: Path, tmp_path: Path) -> None:
        other = make_repository(tmp_path / "other", {"a": "1", "b": "2"})
        variables = {"GIT_DIR": str(other / ".git"), "GIT_INDEX_FILE": str(other / ".git/index"), "GIT_PREFIX": "x/"}
        document = json.loads(check(repository, "limits", "--json", **variables).stdout)
        assert (document["files"], document["size"]) == (1, 9)

    def test_an_unfinished_merge_is_weighed_with_our_side(self, repository: Path) -> None:
        git(repository, "switch", "-qc", "other")
        write_files(repository, {"train.py": "x" * 500})
        commit_all(repository)
        git(repository, "switch", "-q", "main")
        write_files(repository, {"train.py": "y" * 100})
        commit_all(repository)
        subprocess.run(["git", "merge", "-q", "other"], cwd=repository, capture_output=True)
        document = json.loads(check(repository, "limits", "--json").stdout)
        assert (document["files"], document["size"]) == (1, 100)
        self.limit(repository, 1)
        git(repository, "checkout", "-q", "--theirs", "train.py")
        git(repository, "add", "train.py")
        assert self.commit(repository) == 0

    def test_amend_rebase_and_cherry_pick_go_through(self, repository: Path) -> None:
        install_hook(repository, "pre-commit", "limits", "ignore", "config", "secrets", "notebooks")
        git(repository, "switch", "-qc", "other")
        write_files(repository, {"a": "x"})
        commit_all(repository)
        git(repository, "switch", "-q", "main")
        write_files(repository, {"b": "x"})
        commit_all(repository)
        git(repository, "commit", "-q", "--amend", "-m", "again")
        git(repository, "cherry-pick", "other")
        git(repository, "switch", "-q", "other")
        git(repository, "rebase", "-q", "main~1")
        assert git(repository, "status", "--porcelain") == ""
        assert git(repository, "log", "--format=%s", "-1", "main~1") == "again"


def planted() -> dict[str, str]:
    sas = SAS.replace(SIGNATURE, CANARY + SIGNATURE[len(CANARY) :])
    key = CANARY + KEY[len(CANARY) :]
    return {
        "password.compute": f"type: remote\naddress: h\nusername: u\npassword: {CANARY}\n",
        "key.compute": f"type: local\nartifactStore: AccountKey={key}\n",
        "sas.compute": f"type: local\nartifactStore: {sas}\n",
        "password.runconfig": f"EnvironmentVariables:\n  DB_PASSWORD: {CANARY}\n",
        "key.runconfig": f"EnvironmentVariables:\n  STORAGE: {key}\n",
        "sas.runconfig": f"EnvironmentVariables:\n  DATA: {sas}\n",
        "password.py": f"connect('h', password='{CANARY}')\n",
        "key.py": f"client = Client('x', '{key}')\n",
        "sas.py": f"fetch('{sas}')\n",
        "connection.sh": CONNECTION.replace(KEY, key),
        "id_rsa": PRIVATE_KEY.replace("MIIE", CANARY),
    }


class TestSecrets:
    @pytest.mark.parametrize("name", planted())
    def test_a_planted_secret_is_refused_and_never_repeated(self, repository: Path, name: str) -> None:
        path = name if name.endswith((".py", ".sh", "rsa")) else f"aml_config/{name}"
        write_files(repository, {path: planted()[name]})
        git(repository, "add", "-A")
        done = check(repository, "secrets")
        assert done.returncode == REFUSED
        assert f"error: {path}:" in done.stdout
        for each in ("limits", "ignore", "config", "secrets", "notebooks"):
            for form in ((), ("--json",)):
                said = check(repository, each, *form)
                assert CANARY not in said.stdout + said.stderr

    def test_references_pass(self, repository: Path) -> None:
        write_files(
            repository,
            {
                "aml_config/a.compute": "type: remote\naddress: h\nusername: u\npassword: ${env:PW}\n",
                "aml_config/b.compute": "type: remote\naddress: h\nusername: u\npassword: ${keyring:amltool/ada}\n",
                "aml_config/c.compute": "type: remote\naddress: h\nusername: u\npassword: AzureMlSecret=x\n",
                "aml_config/a.runconfig": "Target: a\nEnvironmentVariables:\n  KEY: AccountKey=${env:KEY};\n",
                "train.py": "password = os.environ['PW']\n",
            },
        )
        git(repository, "add", "-A")
        done = check(repository, "secrets")
        assert (done.returncode, done.stdout) == (0, "")

    def test_only_what_is_staged_is_looked_into_and_everything_when_nothing_is(self, repository: Path) -> None:
        write_files(repository, {"old.py": f"password='{CANARY}'\n"})
        commit_all(repository)
        assert check(repository, "secrets").returncode == REFUSED
        write_files(repository, {"new.py": "print(1)\n"})
        git(repository, "add", "new.py")
        assert check(repository, "secrets").returncode == 0
        assert check(repository, "secrets", "--all").returncode == REFUSED

    def test_what_is_on_disk_and_not_staged_is_not_looked_into(self, repository: Path) -> None:
        write_files(repository, {"a.py": "print(1)\n", "b.py": "print(1)\n"})
        git(repository, "add", "-A")
        write_files(repository, {"a.py": f"password='{CANARY}'\n"})
        assert check(repository, "secrets").returncode == 0

    def test_a_secret_that_a_later_commit_takes_out_is_pushed_all_the_same(self, repository: Path) -> None:
        known = git(repository, "rev-parse", "HEAD")
        write_files(repository, {"a.py": f"password='{CANARY}'\n"})
        commit_all(repository)
        write_files(repository, {"a.py": "print(1)\n"})
        tip = commit_all(repository)
        done = check(repository, "secrets", PRE_COMMIT_FROM_REF=known, PRE_COMMIT_TO_REF=tip)
        assert (done.returncode, done.stdout.splitlines()[0]) == (1, "error: a.py:1: a password in plain text")
        assert check(repository, "secrets", PRE_COMMIT_FROM_REF=tip, PRE_COMMIT_TO_REF=tip).returncode == 0

    def test_the_settings_let_a_false_alarm_pass(self, repository: Path) -> None:
        allow = '[tool.amltool]\nsecrets_allow = ["^samples/"]\n'
        write_files(repository, {"samples/a.py": f"password='{CANARY}'\n", "pyproject.toml": allow})
        git(repository, "add", "-A")
        assert check(repository, "secrets").returncode == 0


class TestOthers:
    def test_configuration_is_that_of_the_index(self, repository: Path) -> None:
        write_files(repository, {"aml_config/a.compute": "type: lokal\n"})
        git(repository, "add", "-A")
        write_files(repository, {"aml_config/a.compute": "type: local\n"})
        done = check(repository, "config")
        assert done.returncode == REFUSED
        assert "aml_config/a.compute:1" in done.stdout

    def test_settings_with_a_mistake_are_a_refusal_and_no_traceback(self, repository: Path) -> None:
        write_files(repository, {"aml_config/project.yml": "max_sice: 3\n"})
        git(repository, "add", "-A")
        for name in ("limits", "ignore", "config", "secrets", "notebooks"):
            done = check(repository, name)
            assert done.returncode == REFUSED
            assert "aml_config/project.yml:1" in done.stdout
            assert done.stderr == ""

    def test_a_notebook_with_heavy_outputs_is_refused(self, repository: Path) -> None:
        cell = {"cell_type": "code", "outputs": [{"data": {"image/png": "x" * 3000}}]}
        write_files(repository, {"a.ipynb": json.dumps({"nbformat": 4, "cells": [cell]})})
        git(repository, "add", "-A")
        assert check(repository, "notebooks").returncode == 0
        assert check(repository, "notebooks", "--max-output-size", "2KB").returncode == REFUSED

    def test_the_ignore_check_warns_and_refuses_only_when_strict(self, repository: Path) -> None:
        write_files(repository, {".amlignore": "nowhere\n"})
        git(repository, "add", "-A")
        assert "nowhere (line 1)" in check(repository, "ignore").stdout
        assert check(repository, "ignore").returncode == 0
        assert check(repository, "ignore", "--strict").returncode == REFUSED

    def test_an_argument_that_is_none_is_a_usage_line(self, repository: Path) -> None:
        done = check(repository, "limits", "--max-size", "many")
        assert done.returncode == 2
        assert "is not a size" in done.stderr

    def test_outside_a_repository_it_says_so(self, tmp_path: Path) -> None:
        done = check(tmp_path, "limits")
        assert (done.returncode, done.stdout) == (REFUSED, "")
        assert "is not in a Git repository" in done.stderr

    def test_colour_is_for_terminals_only(self, repository: Path) -> None:
        assert "\x1b" not in check(repository, "limits", "--max-files", "0").stdout

    def test_a_terminal_gets_colour(self, repository: Path) -> None:
        import pty

        leader, follower = pty.openpty()
        command = [sys.executable, "-m", "amltool.hooks", "limits", "--max-files", "0"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
        subprocess.run(command, cwd=repository, env=environment, stdout=follower)
        os.close(follower)
        assert b"\x1b[31merror:\x1b[0m" in os.read(leader, 4096)
        os.close(leader)

    def test_check_knows_what_the_checks_know(self, repository: Path) -> None:
        write_files(
            repository,
            {
                ".amlignore": "nowhere\n",
                "a.py": f"password='{CANARY}'\n",
                "aml_config/a.compute": "type: lokal\n",
                "outputs/x": "1",
                "pyproject.toml": "[tool.amltool]\nmax_file_size = 1\n",
            },
        )
        commit_all(repository)
        for form in ((), ("--staged",), ("--commit", "HEAD")):
            command = [sys.executable, "-m", "amltool", "check", "--json", *form]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True)
            ids = {problem["id"] for problem in json.loads(done.stdout)["problems"]}
            assert ids == {"file-size", "ignore-unused", "ignore-outputs", "configuration", "secret"}
            assert CANARY not in done.stdout + done.stderr


def test_a_fault_of_ours_is_said_as_such_and_leaves_with_3(repository: Path) -> None:
    program = "from amltool.hooks import checks\nchecks.CHECKS['limits'] = lambda *given: 1 / 0\nchecks.limits()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(repository.parent)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=repository, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 3
    assert "ZeroDivisionError" in done.stderr
    assert "Traceback" not in done.stderr


HEAVY = ("invoke", "rich", "git", "yaml", "jmespath", "pathspec", "argparse", "dataclasses", "tempfile", "sqlite3")
"""What a commit need not wait for (issue 3, speed)."""


def test_the_limits_check_loads_no_heavy_module(repository: Path) -> None:
    write_files(repository, {".amlignore": "*.csv\n"})
    git(repository, "add", "-A")
    check(repository, "limits")
    program = (
        "import sys\n"
        "sys.modules['typing_extensions'] = None\n"  # msgspec takes it where it is; an installed amltool has none
        "from amltool.hooks import checks\n"
        "assert checks.run('limits', []) == 0\n"
        f"print(sorted({{name.partition('.')[0] for name in sys.modules}} & set({HEAVY!r})))\n"
        "print(sorted(name for name in sys.modules if name.startswith('amltool')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    *_, heavy_ones, ours = done.stdout.splitlines()
    assert heavy_ones == "[]"
    allowed = (
        "git",
        "commands",
        "configuration",
        "ignore",
        "hooks",
        "limits",
        "errors",
        "files",
        "layout",
        "project",
        "text",
    )
    loaded = {name.split(".")[1] for name in eval(ours) if "." in name}
    assert loaded <= {*allowed, "locks", "snapshot"}
