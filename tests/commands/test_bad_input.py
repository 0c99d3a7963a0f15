"""Bad input: a clear sentence and the next step, the right exit code, nothing lost and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.amltool_command import LOCAL, amltool, make_project, submit
from tests.repositories import commit_all, git, make_repository, state_of, write_files

SCRIPT = "open('outputs/x.txt', 'w').write('x')\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "a project", {"train.py": SCRIPT, "docs/readme.md": "r"})


def refused(folder: Path, *arguments: str, **variables: str) -> str:
    """The message of a command that has to be refused as a user's mistake: two sentences, no traceback, no trace."""
    before = state_of(folder) if (folder / ".git/HEAD").exists() and subprocess.run(
        ["git", "rev-parse", "-q", "--verify", "HEAD"], cwd=folder, capture_output=True
    ).returncode == 0 else None  # fmt: skip
    done = amltool(folder, *arguments, check=False, **variables)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "bug of its own" not in done.stderr
    one_line_says_both = re.match(r"aml_config/\S+:\d+:\d+: ", done.stderr)
    assert one_line_says_both or len(done.stderr.strip().splitlines()) >= 2, done.stderr
    if before is not None:
        assert state_of(folder) == before
    journal = folder / ".git/amltool/runs"
    assert not journal.exists() or list(journal.iterdir()) == []
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["submit", "trian.py"], "Did you mean train.py"),
        (["submit", "x" * 300 + ".py"], "script path doesn't exist"),
        (["submit", "train.py", "--timeout", "0"], "more than 0, not 0"),
        (["submit", "train.py", "--timeout", "-1"], "more than 0, not -1"),
        (["submit", "train.py", "--source-directory", "nowhere"], "There is no folder 'nowhere'"),
        (["submit", "/etc/hostname"], "should be inside the project folder"),
        (["submit", "../outside.py"], "should be inside the project folder"),
        (["submit", "train.py", "--target", "nowhere"], "Compute target = nowhere doesn't exist"),
        (
            ["submit", "train.py", "-c", "nothing"],
            "Run config with name = nothing doesn't exist in the aml_config folder",
        ),
        (["submit", "train.py", "-c", "local.runconfig"], "Run config name should not be suffixed with .runconfig"),
        (["submit", "train.py", "--commit", "no-such"], "There is no commit"),
        (["submit", "train.py", "--source-directory", "../.."], "outside the project"),
        (["submit", "train.py", "--set", "x"], "NAME=VALUE"),
        (["submit", "train.py", "--timeout", "soon"], "--timeout"),
        (["submit", "train.py", "runs"], "runs"),
        (["submit", "train.py", "--lr", "0.1"], "-- --lr 0.1"),
        (["show", "nope"], "No run is named"),
        (["wait", "@7"], "@7"),
        (["logs", "nope"], "No run is named"),
        (["rerun", "nope"], "No run is named"),
        (["compare", "@"], ""),
        (["runs", "--status", "sleeping"], "Unsupported status value: sleeping"),
        (["runs", "--query", "[?"], "query cannot be used"),
        (["runs", "--limit", "many"], "--limit"),
        (["runconfig", "new", "--target", "lokal"], "Did you mean local"),
        (["runconfig", "local", "--target", "local"], "already"),
        (["check", "--commit", "no-such"], "There is no commit"),
    ],
)
def test_wrong_words_are_refused_with_the_next_step(project: Path, arguments: list[str], says: str) -> None:
    assert says in refused(project, *arguments)


def test_a_refused_submit_says_nothing_of_a_snapshot(project: Path) -> None:
    (project / "new.txt").write_text("uncommitted")

    assert "Uncommitted work" not in amltool(project, "submit", "trian.py", check=False).stderr
    assert "Uncommitted work" in amltool(project, "submit", "train.py").stderr


def test_a_script_that_the_ignore_file_leaves_out_is_said_so(project: Path) -> None:
    write_files(project, {".amlignore": "secret.py\n", "secret.py": "1"})
    commit_all(project)
    assert "leaves it out" in refused(project, "submit", "secret.py")


def test_an_empty_argument_vector_has_the_ancestors_words(project: Path) -> None:
    write_files(project, {"aml_config/local.runconfig": "ArgumentVector: []\nTarget: local\n"})
    commit_all(project)
    message = refused(project, "submit")
    assert "ArgumentVector in runconfig cannot be empty." in message
    assert "aml_config/local.runconfig:1" in message


def test_every_mistake_of_a_file_is_said_at_once_with_its_line(project: Path) -> None:
    write_files(project, {"aml_config/local.compute": "type: lcoal\nsharedVolumes: true.\npythonLocaton: python\n"})
    message = refused(project, "submit", "train.py")
    for line in ("local.compute:1", "local.compute:2", "local.compute:3", "local", "pythonLocation"):
        assert line in message


def test_a_tree_over_the_limits_is_refused_before_anything_is_written(project: Path) -> None:
    (project / "big.bin").write_bytes(b"")
    os.truncate(project / "big.bin", 301 * 1024 * 1024)
    objects = git(project, "count-objects", "-v")
    message = refused(project, "submit", "train.py")
    assert "Your total snapshot size exceeds the limit of 300.0 MB." in message
    assert "big.bin" in message
    assert git(project, "count-objects", "-v") == objects


def test_too_many_files_are_refused(project: Path) -> None:
    write_files(project, {f"many/{number}.txt": "" for number in range(2001)})
    assert "Your project exceeds the file limit of 2000." in refused(project, "submit", "train.py")


def test_a_clean_tree_can_be_required(project: Path) -> None:
    write_files(project, {"train.py": SCRIPT + "#"})
    assert "uncommitted work (train.py)" in refused(project, "submit", "train.py", "--clean")
    write_files(project, {"aml_config/project.yml": "require_clean: true\n"})
    assert "clean tree is required" in refused(project, "submit", "train.py")


def test_a_cluster_that_cannot_be_had_is_a_sentence(project: Path) -> None:
    write_files(project, {
        "aml_config/hdi.compute": "type: cluster\naddress: c-ssh.invalid\nusername: sshuser\n",
        "aml_config/hdi.runconfig": "ArgumentVector:\n- $file\nTarget: hdi\nFramework: Python\n",
    })  # fmt: skip
    commit_all(project)
    assert "c-ssh.invalid" in refused(project, "submit", "train.py", "--target", "hdi")


def test_a_repository_without_a_commit_is_told_to_make_one(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "empty")
    write_files(folder, {"train.py": SCRIPT, **LOCAL})
    assert "no commit yet" in refused(folder, "submit", "train.py")
    assert json.loads(amltool(folder, "check", "--json").stdout)["files"] == 3


def test_a_detached_head_and_a_linked_worktree_run(project: Path, tmp_path: Path) -> None:
    git(project, "checkout", "-q", "--detach")
    assert submit(project)["status"] == "Completed"
    git(project, "worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    assert submit(tmp_path / "linked")["status"] == "Completed"
    assert len(json.loads(amltool(project, "runs", "--json").stdout)) == 2


def test_an_interpreter_that_is_not_there_is_named(project: Path) -> None:
    write_files(project, {"aml_config/local.compute": "type: local\npythonLocation: python9.9\n"})
    assert "python9.9" in refused(project, "submit", "train.py")


def test_a_note_damaged_by_hand_hides_no_other_run(project: Path) -> None:
    first = submit(project)
    git(project, "notes", "--ref=amltool/runs", "append", "-m", "I wrote this by hand {")
    second = submit(project)
    listed = {run["run_id"] for run in json.loads(amltool(project, "runs", "--json").stdout)}
    assert listed == {first["run_id"], second["run_id"]}
    report = amltool(project, "history.check", check=False)
    assert report.returncode == 1
    assert "error" in report.stdout


def test_a_journal_entry_of_a_newer_version_stops_nothing_else(project: Path) -> None:
    entry = project / ".git/amltool/runs/20991231T000000-abcdef0-aaaa"
    entry.mkdir(parents=True)
    (entry / "request.json").write_text('{"v": 99}')
    assert submit(project)["status"] == "Completed"
    assert "newer amltool" in amltool(project, "runs").stdout
    done = amltool(project, "wait", entry.name, check=False)
    assert (done.returncode, "newer amltool" in done.stderr) == (1, True)


def test_a_damaged_artifact_is_found_and_never_given_out(project: Path, tmp_path: Path) -> None:
    record = submit(project)
    sha256 = next(a["sha256"] for a in record["artifacts"] if a["path"] == "outputs/x.txt")
    kept = next((project / ".git/amltool/store").rglob(sha256))
    kept.chmod(0o644)
    kept.write_bytes(b"y")
    done = amltool(project, "outputs", "@", f"--download={tmp_path / 'out'}", "--path=outputs/x.txt", check=False)
    assert done.returncode == 1
    assert not (tmp_path / "out/outputs/x.txt").exists()
    assert "outputs/x.txt" in amltool(project, "history.check", check=False).stdout


def test_download_takes_nothing_when_one_file_is_in_the_way(project: Path, tmp_path: Path) -> None:
    submit(project)
    write_files(tmp_path, {"outputs/x.txt": "mine"})
    message = refused(project, "outputs", "@", f"--download={tmp_path}")
    assert "please add '--overwrite' to overwrite" in message
    assert not (tmp_path / "console.log").exists()
    amltool(project, "outputs", "@", f"--download={tmp_path}", "--overwrite")
    assert (tmp_path / "outputs/x.txt").read_text() == "x"


def test_restore_never_writes_over_work(project: Path, tmp_path: Path) -> None:
    submit(project)
    assert "not empty" in refused(project, "restore", "@", f"--to={project}")
    amltool(project, "restore", "@", f"--to={tmp_path / 'back'}")
    assert (tmp_path / "back/train.py").read_text() == SCRIPT
    assert (tmp_path / "back/docs/readme.md").read_text() == "r"
    assert not (tmp_path / "back/outputs").exists(), "only a run needs that"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_under_the_run_folders_is_said_and_leaves_nothing(project: Path, small_disk: Path) -> None:
    write_files(project, {"data.bin": os.urandom(12 << 20)})
    commit_all(project)
    message = refused(project, "submit", "train.py", HOME=str(small_disk))
    assert "No space left" in message
    assert not list((small_disk / ".amltool/runs").iterdir())


def test_a_full_disk_under_the_repository_loses_no_run(small_disk: Path) -> None:
    folder = make_project(
        small_disk / "project", {"train.py": "import os\nopen('outputs/x', 'wb').write(os.urandom(10 << 20))\n"}
    )
    done = amltool(folder, "submit", "train.py", check=False)
    assert done.returncode == 1
    assert "No space left" in done.stderr
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    run = json.loads(amltool(folder, "wait", "@", "--json").stdout)
    assert run["status"] == "Completed"
    assert {a["path"] for a in run["artifacts"]} >= {"outputs/x", "console.log"}
    assert json.loads(amltool(folder, "history.check", "--json").stdout)["ok"]
