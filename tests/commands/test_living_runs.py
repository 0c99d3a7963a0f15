"""Runs that are not finished: detached, followed, waited for, canceled, interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.amltool_command import amltool, make_project, submit
from tests.repositories import git
from tests.waiting import promised, wait_until

ROOT = str(Path(__file__).resolve().parents[2])
SLOW = """
import time
for number in range(30):
    print("line", number, flush=True)
    time.sleep(0.1)
open("outputs/done.txt", "w").write("done")
"""
HELD = f"{SLOW}import os, sys\nwhile os.path.exists(sys.argv[1]):\n    time.sleep(0.02)\n"
"""Goes on until a file is gone: a busy machine may take longer to act on a run than a short one lasts."""
EXPECTED = b"".join(b"line %d\n" % number for number in range(30))
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open("outputs/daemon.pid", "w").write(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project", {"train.py": SLOW, "held.py": HELD, "stubborn.py": STUBBORN})


def client(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "amltool", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ROOT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def newest(folder: Path) -> dict[str, object]:
    runs = json.loads(amltool(folder, "runs", "--json").stdout)
    return runs[0] if runs else {}


def test_a_detached_run_records_itself(slow: Path) -> None:
    done = amltool(slow, "submit", "train.py", "--detach", "--json")
    run_id = json.loads(done.stdout)["run_id"]
    assert "amltool logs -f" in done.stderr
    wait_until(lambda: run_id in git(slow, "log", "--notes=amltool/runs", "-1", "--format=%N"))
    assert newest(slow)["status"] == "Completed"


def test_logs_can_be_followed_from_another_process_with_no_line_lost_or_doubled(slow: Path) -> None:
    amltool(slow, "submit", "train.py", "--detach")
    followers = [client(slow, "logs", "-f", "@") for _ in range(2)]
    for follower in followers:
        stdout, stderr = follower.communicate(timeout=240)
        assert (stdout, follower.returncode) == (EXPECTED, 0), stderr
    assert amltool(slow, "logs", "@").stdout.encode() == EXPECTED


def test_one_who_follows_sees_the_end_also_when_the_driver_died(slow: Path, hold: Path) -> None:
    amltool(slow, "submit", "held.py", "--detach", "--", str(hold))
    follower = client(slow, "logs", "-f", "@")
    (journal,) = (slow / ".git/amltool/runs").iterdir()
    command = f"amltool.tasks.background {slow} {journal.name}"
    found = subprocess.run(["pgrep", "-f", command], capture_output=True, text=True, check=True).stdout.split()
    for driver in found:
        os.kill(int(driver), signal.SIGKILL)
    hold.unlink()

    stdout, stderr = follower.communicate(timeout=240)

    assert found
    assert (stdout, follower.returncode) == (EXPECTED, 0), stderr
    assert newest(slow)["status"] == "Completed"


def test_the_run_id_is_said_before_the_run_begins(slow: Path, hold: Path) -> None:
    process = client(slow, "submit", "held.py", "--target", "local", "--", str(hold))
    assert process.stderr is not None

    first = process.stderr.readline().decode().split()

    assert process.poll() is None
    assert first[0] == "RunId:"
    amltool(slow, "cancel", first[1])
    assert f"RunId: {first[1]}" in process.communicate()[1].decode(), "and again at its end"


def test_wait_shows_the_console_and_gives_the_runs_exit_code(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", {"train.py": SLOW + "raise SystemExit(7)\n"})
    amltool(folder, "submit", "train.py", "--detach")
    done = amltool(folder, "wait", "@", check=False)
    assert done.returncode == 7
    assert done.stdout.encode() == EXPECTED


def test_an_unfinished_run_is_shown_as_running(slow: Path, hold: Path) -> None:
    amltool(slow, "submit", "held.py", "--detach", "--", str(hold))
    assert "Running" in amltool(slow, "runs").stdout
    assert json.loads(amltool(slow, "show", "@", "--json").stdout)["status"] == "Running"
    done = amltool(slow, "outputs", "@", check=False)
    assert (done.returncode, "not finished" in done.stderr) == (1, True)
    amltool(slow, "cancel", "@")


def test_cancel_ends_the_whole_process_tree_within_fifteen_seconds(slow: Path) -> None:
    amltool(slow, "submit", "stubborn.py", "--detach")
    (entry,) = (slow / ".git/amltool/runs").iterdir()
    work = Path(os.environ["HOME"]) / ".amltool/runs" / entry.name / "work"
    wait_until(lambda: (work / "outputs/daemon.pid").exists() and (work / "outputs/daemon.pid").read_text())
    daemon = int((work / "outputs/daemon.pid").read_text())
    begun = time.monotonic()
    amltool(slow, "cancel", "@")
    assert time.monotonic() - begun < promised(15)
    with pytest.raises(ProcessLookupError):
        os.kill(daemon, 0)
    record = newest(slow)
    assert (record["status"], record["reason"]) == ("Canceled", "canceled")
    assert amltool(slow, "wait", "@", check=False).returncode == 130
    done = amltool(slow, "cancel", "@", check=False)
    assert (done.returncode, "is over: Canceled" in done.stderr) == (1, True)


def test_ctrl_c_leaves_the_run_alive_and_says_how_to_go_on(slow: Path, hold: Path) -> None:
    process = client(slow, "submit", "held.py", "--", str(hold))
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 130
    assert b"goes on without us" in stderr
    assert b"amltool cancel" in stderr
    hold.unlink()
    assert amltool(slow, "wait", "@").returncode == 0
    assert amltool(slow, "logs", "@").stdout.encode() == EXPECTED


def test_a_second_ctrl_c_cancels_it(slow: Path, hold: Path) -> None:
    process = client(slow, "submit", "held.py", "--", str(hold))
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    while b"Ctrl-C again within two seconds" not in process.stderr.readline():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 130
    assert b"canceled successfully" in stderr
    assert newest(slow)["status"] == "Canceled"


def test_a_time_out_ends_the_run_and_is_the_reason(slow: Path, hold: Path) -> None:
    record = submit(slow, "held.py", "--timeout", "1", arguments=(str(hold),))
    assert record["status"] == "Failed"
    assert "time" in str(record["reason"])


def test_log_files_can_be_read_while_the_run_goes_on(tmp_path: Path) -> None:
    script = "import time\nopen('logs/a.log', 'w').write('early')\nprint('up', flush=True)\ntime.sleep(3)\n"
    folder = make_project(tmp_path / "project", {"train.py": script})
    amltool(folder, "submit", "train.py", "--detach")
    wait_until(lambda: amltool(folder, "logs", "@", "--path=logs/a.log").stdout == "early")
    amltool(folder, "wait", "@")
    assert amltool(folder, "logs", "@", "--path=logs/a.log").stdout == "early"


def test_a_run_whose_bootstrap_was_killed_is_failed_with_the_reason(slow: Path, hold: Path) -> None:
    process = client(slow, "submit", "held.py", "--json", "--", str(hold))
    wait_until(lambda: list((slow / ".git/amltool/runs").glob("*/state.json")))
    (entry,) = (slow / ".git/amltool/runs").iterdir()
    start = Path(os.environ["HOME"]) / ".amltool/runs" / entry.name / "start.json"
    wait_until(start.exists)
    os.kill(json.loads(start.read_text())["pid"], signal.SIGKILL)
    stdout, _ = process.communicate(timeout=240)
    record = json.loads(stdout)
    assert (record["status"], process.returncode) == ("Failed", 1)
    assert "bootstrap was killed" in record["reason"]


def test_arguments_reach_the_script_byte_for_byte(tmp_path: Path) -> None:
    script = "import os, sys\nopen('outputs/a', 'wb').write(b'\\0'.join(map(os.fsencode, sys.argv[1:])))\n"
    folder = make_project(tmp_path / "project", {"train.py": script})
    arguments = ("", "a b", "new\nline", "ü", os.fsdecode(b"\xff"), "--", "-x", "'\"$HOME`")
    record = submit(folder, arguments=arguments)
    amltool(folder, "outputs", "@", "--path=outputs/a", f"--download={tmp_path}")
    assert (tmp_path / "outputs/a").read_bytes() == b"\0".join(map(os.fsencode, arguments))
    assert record["arguments"][1:4] == ["a b", "new\nline", "ü"]
    assert json.loads(amltool(folder, "rerun", "@", "--json").stdout)["verdict"] == "reproduced"


def test_a_work_tree_that_is_removed_meanwhile_takes_no_run_with_it(slow: Path, tmp_path: Path, hold: Path) -> None:
    git(slow, "worktree", "add", "-q", str(tmp_path / "linked"), "-b", "side")
    process = client(tmp_path / "linked", "submit", "held.py", "--target", "local", "--", str(hold))
    assert process.stdout is not None
    assert process.stdout.readline() == b"line 0\n"

    git(slow, "worktree", "remove", "--force", str(tmp_path / "linked"))
    git(slow, "branch", "-q", "-D", "side")
    hold.unlink()

    said = process.communicate(timeout=240)[1].decode()
    assert process.returncode == 0, said
    [run] = json.loads(amltool(slow, "runs", "--json").stdout)
    assert run["status"] == "Completed"
