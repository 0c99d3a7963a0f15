"""The three faces of failure, by both commands."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from invoke.exceptions import Exit

from amltool.errors import UserError
from amltool.git.command import GitError
from amltool.tasks.failures import ExitCode, Outcome, door, exit_code_for
from tests.tasks.sample_project import Project

NO_TRACEBACK = "Traceback"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("a", "b"), 1),
        (Exit(code=9), 9),
        (Exit(message="x"), 1),
        (SystemExit(4), 4),
        (SystemExit("text"), 1),
        (SystemExit(), 0),
        (KeyboardInterrupt(), 130),
        (OSError(28, "No space left"), 1),
        (BrokenPipeError(32, "some other pipe"), 3),
        (KeyError("x"), 3),
    ],
)
def test_each_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert exit_code_for(error) == code


def test_a_signal_is_told_as_a_shell_does() -> None:
    assert Outcome.ended_by(signal.SIGKILL).exit_code == 137


@pytest.mark.parametrize("code", [-1, 256])
def test_an_exit_code_that_cannot_be_is_refused(code: int) -> None:
    with pytest.raises(ValueError, match="0-255"):
        Outcome(code)


def test_what_ends_a_task_in_order_passes_the_door() -> None:
    ending = Exit(code=5)

    with pytest.raises(Exit) as caught, door():
        raise ending

    assert caught.value is ending


def test_what_another_machine_says_does_not_command_the_terminal() -> None:
    with pytest.raises(Exit) as caught, door():
        raise UserError("vm says: \x1b]0;owned\x07\x1b[2J\tü\u202e", "Look\nthere.")

    assert str(caught.value.message) == "vm says: \\x1b]0;owned\\x07\\x1b[2J\tü\\u202e\nLook\nthere."


def test_a_door_within_a_door_says_it_once() -> None:
    with pytest.raises(Exit) as caught, door(), door():
        raise UserError("Once.", "Again.")

    assert caught.value.message == "Once.\nAgain."


def test_a_users_mistake_is_two_sentences_on_stderr(project: Project, program: str) -> None:
    ended = project.run(program, "fail", "mistake")

    assert (ended.code, ended.out, ended.err) == (1, "", "There is no run like that.\nSee amltool runs\n")


@pytest.mark.parametrize(
    ("how", "code"), [("exit0", 0), ("exit1", 1), ("exit3", 3), ("exit255", 255), ("signal9", 137)]
)
def test_a_scripts_exit_code_is_the_commands(project: Project, program: str, how: str, code: int) -> None:
    ended = project.run(program, "fail", how)

    assert (ended.code, ended.err) == (code, "")


def test_a_full_machine_is_a_mistake_and_no_bug(project: Project, program: str) -> None:
    ended = project.run(program, "fail", "full")

    assert (ended.code, ended.err.splitlines()[0]) == (
        ExitCode.MISTAKE,
        "This machine refused to write: No space left on device: /somewhere/file.",
    )


@pytest.mark.parametrize(("exit_code", "said"), [(-11, b""), (128, b"fatal: loose object 12ab is corrupt")])
def test_a_git_that_fails_is_a_sentence_and_no_bug(exit_code: int, said: bytes) -> None:
    with pytest.raises(Exit) as caught, door():
        raise GitError(("status",), exit_code, said)

    assert caught.value.code == ExitCode.MISTAKE
    assert "Git could not do its part: git status: " in str(caught.value.message)
    assert "git fsck" in str(caught.value.message)


def test_a_git_that_does_not_understand_us_is_our_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(Exit) as caught, door():
        raise GitError(("status", "--no-such-option"), 129, b"usage: git status")

    assert caught.value.code == ExitCode.BUG


def test_a_bug_leaves_a_report_and_no_traceback(project: Project, program: str) -> None:
    ended = project.run(program, "fail", "bug")

    report = ended.err.strip().rpartition(" ")[2]
    assert ended.code == ExitCode.BUG
    assert NO_TRACEBACK not in ended.err
    assert "KeyError" in (project.folder / Path(report).name).read_text()


def test_a_broken_pipe_that_is_not_our_output_is_a_bug(project: Project, program: str) -> None:
    assert project.run(program, "fail", "pipe").code == ExitCode.BUG


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("how", ["much", "little"])
def test_a_reader_that_goes_away_is_met_with_silence(project: Project, program: str, how: str, unbuffered: str) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [*project.command(program), "fail", how]
    environment = project.environment | {"PYTHONUNBUFFERED": unbuffered}

    ended = subprocess.run(
        command, cwd=project.folder, env=environment, stdout=write_end, stderr=subprocess.PIPE, check=False
    )
    os.close(write_end)

    assert (ended.returncode, ended.stderr) == (ExitCode.PIPE_CLOSED, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_output_that_cannot_be_written_is_told(project: Project, program: str) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*project.command(program), "fail", "little"],
            cwd=project.folder, env=project.environment, stdout=full, stderr=subprocess.PIPE,
        )  # fmt: skip

    assert ended.returncode == ExitCode.MISTAKE
    assert ended.stderr.startswith(b"This machine refused to write: No space left on device.")


def test_closed_output_is_no_crash(project: Project, program: str) -> None:
    command = [*project.command(program), "fail", "little"]
    close = ["sh", "-c", 'exec "$@" >&-', "sh"]

    ended = subprocess.run([*close, *command], cwd=project.folder, env=project.environment, stderr=subprocess.PIPE)

    assert NO_TRACEBACK.encode() not in ended.stderr


def test_ctrl_c_ends_quietly_with_130(project: Project, program: str) -> None:
    running = subprocess.Popen(
        [*project.command(program), "fail", "wait"], cwd=project.folder, env=project.environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert running.stdout is not None
    assert running.stdout.readline() == b"waiting\n"

    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=240)

    assert (running.returncode, err) == (ExitCode.INTERRUPTED, b"")
