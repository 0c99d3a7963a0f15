"""The bootstrap by itself: its claim, its last words, what it says of runs that went wrong, and its own cost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from amltool.tracking import bootstrap, processes, supervision
from tests.tracking.bootstrapped import (  # noqa: F401 (pytest finds fixtures by name)
    BOOTSTRAP,
    LINUX,
    PATH,
    background,
    call,
    end_of,
    folder_fixture,
    spec,
)
from tests.waiting import wait_until

VERSIONS = ("3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13")

on_linux = pytest.mark.skipif(not LINUX, reason="needs /proc")


def test_a_run_leaves_its_start_its_console_and_its_end(folder: Path) -> None:
    called = call("run", folder, content=spec("sh", "-c", "echo out; echo err >&2; exit 3"))
    assert (called.returncode, called.stdout, called.stderr) == (0, b"", b"")
    assert sorted(path.name for path in folder.iterdir()) == ["console.log", "exit.json", "start.json", "work"]
    assert (folder / "console.log").read_bytes() == b"out\nerr\n"
    end = end_of(folder)
    assert {name: end[name] for name in ("exit_code", "signal", "reason", "canceled")} == {
        "exit_code": 3,
        "signal": None,
        "reason": None,
        "canceled": False,
    }
    assert end["started"] <= end["ended"]
    assert end["ended"].endswith("Z")


def test_a_second_bootstrap_does_nothing(folder: Path) -> None:
    call("run", folder, content=spec("sh", "-c", "echo once"))
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert call("run", folder, content=spec("sh", "-c", "echo twice")).returncode == 0
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_half_a_spec_starts_nothing(folder: Path) -> None:
    content = spec("sh", "-c", "touch started")
    for cut in (0, 1, len(content) // 2, len(content) - 1):
        assert call("run", folder, content=content[:cut]).returncode == 2
    assert [path.name for path in folder.iterdir()] == ["work"]
    assert bootstrap.state(str(folder)) == {"state": "absent"}


def test_a_wrong_call_says_how_to_call_it(folder: Path) -> None:
    called = call("dance", folder)
    assert called.returncode == 2
    assert called.stderr.startswith(b"bootstrap.py run|launch|state|cancel|end FOLDER")


def test_a_work_folder_that_is_not_there_is_said(folder: Path) -> None:
    call("run", folder, content=spec("true", work="nowhere"))
    assert end_of(folder)["exit_code"] == 126
    assert end_of(folder)["reason"] == "cannot start in nowhere: No such file or directory"
    assert (folder / "console.log").read_text() == "amltool: cannot start in nowhere: No such file or directory\n"


@pytest.mark.parametrize("command", [[], ["a\0b"], ["sh", "-c", "a\0b"]])
def test_a_command_that_is_none_is_said(folder: Path, command: list[str]) -> None:
    call("run", folder, content=spec(*command))
    assert end_of(folder)["exit_code"] == 126
    assert "cannot start" in end_of(folder)["reason"]


def test_a_script_without_its_interpreter_is_not_found_as_in_a_shell(folder: Path) -> None:
    (folder / "work" / "script").write_text("#!/nowhere/sh\n")
    (folder / "work" / "script").chmod(0o755)
    call("run", folder, content=spec("./script"))
    assert end_of(folder)["exit_code"] == 127


def test_it_leads_a_session_of_its_own_even_from_a_shell(folder: Path) -> None:
    content = spec("sh", "-c", "ps -o sess= -p $PPID; echo $PPID")
    subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -I -S "{BOOTSTRAP}" run "{folder}"'],
        input=content,
        process_group=0 if sys.version_info >= (3, 11) else None,
        check=True,
    ) if sys.version_info >= (3, 11) else call("run", folder, content=content)
    until = time.monotonic() + 120
    while not (folder / "exit.json").exists() and time.monotonic() < until:
        time.sleep(0.01)
    session, parent = (folder / "console.log").read_text().split()
    assert session == parent


def test_where_there_are_no_hard_links_a_run_is_claimed_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.chdir(folder)
    monkeypatch.setattr(supervision.os, "link", refuse)
    assert supervision._claim(b"{}")
    assert not supervision._claim(b"{1}")
    assert (folder / "start.json").read_bytes() == b"{}"
    assert sorted(path.name for path in folder.iterdir()) == ["start.json", "work"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_bootstrap_cancels_the_run(folder: Path, number: int) -> None:
    process = background(folder, spec("sleep", "300"))
    process.send_signal(number)
    assert process.wait(120) == 0
    assert end_of(folder)["signal"] == "SIGTERM"
    assert end_of(folder)["canceled"] is True


def test_a_run_that_handles_its_termination_says_how_it_ended(folder: Path) -> None:
    ready = folder / "work" / "ready"
    process = background(folder, spec("sh", "-c", "trap 'echo saved; exit 0' TERM; touch ready; sleep 300 & wait"))
    while not ready.exists():
        time.sleep(0.01)
    bootstrap.cancel(str(folder))
    process.wait(120)
    assert (folder / "console.log").read_bytes() == b"saved\n"
    assert (end_of(folder)["exit_code"], end_of(folder)["canceled"]) == (0, True)


def test_a_stopped_bootstrap_is_canceled_too(folder: Path) -> None:
    process = background(folder, spec("sleep", "300"))
    process.send_signal(signal.SIGSTOP)
    bootstrap.cancel(str(folder))
    assert process.wait(120) == 0
    assert end_of(folder)["canceled"] is True


def test_a_cancel_of_what_is_not_there_does_nothing(folder: Path) -> None:
    bootstrap.cancel(str(folder))
    bootstrap.cancel(str(folder / "nowhere"))
    assert [path.name for path in folder.iterdir()] == ["work"]


def test_a_zombie_bootstrap_is_gone(folder: Path) -> None:
    process = background(folder, spec("sleep", "300"))
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    seen = bootstrap.state(str(folder))
    process.wait()
    assert (seen["state"], seen["exit"]["reason"]) == ("lost", "the bootstrap was killed")


@on_linux
def test_a_run_that_is_stopped_from_outside_is_not_canceled(folder: Path) -> None:
    process = background(folder, spec("sleep", "300"))
    process.send_signal(signal.SIGPWR)
    assert process.wait(120) == 0
    end = end_of(folder)
    assert (end["signal"], end["reason"], end["canceled"]) == ("SIGTERM", "stopped from outside", False)


@on_linux
@pytest.mark.parametrize("cancel_first", [False, True], ids=["stopped", "canceled and stopped"])
def test_one_that_is_deaf_is_stopped_before_a_daemon_loses_patience(folder: Path, cancel_first: bool) -> None:
    process = background(folder, spec("sh", "-c", "trap '' TERM; touch deaf; while :; do sleep 0.1; done"))
    while not (folder / "work" / "deaf").exists():
        time.sleep(0.01)
    begun = time.monotonic()
    if cancel_first:
        process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGPWR)
    assert process.wait(120) == 0
    assert 4.5 < time.monotonic() - begun < 10  # which is how patient Docker is
    assert end_of(folder)["signal"] == "SIGKILL"
    assert end_of(folder)["canceled"] is cancel_first


def test_a_spec_is_read_without_the_end_of_the_stream(folder: Path) -> None:
    command = [sys.executable, "-I", "-S", BOOTSTRAP, "run", folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(spec("sh", "-c", "exit 4"))
        process.stdin.flush()
        assert process.wait(120) == 0
        assert end_of(folder)["exit_code"] == 4


@on_linux
def test_a_bootstrap_that_is_killed_while_it_starts_the_command_leaves_no_orphan(folder: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(BOOTSTRAP.parents[2])!r})\n"
        "import os, time\n"
        "from amltool.tracking import bootstrap\n"
        "os.setpgid = lambda *_: time.sleep(1)  # the first thing the fork does\n"
        f"bootstrap.run({str(folder)!r}, bootstrap.loads({spec('touch', 'started')!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    while not (folder / "console.log").exists():
        time.sleep(0.01)
    time.sleep(0.2)
    process.kill()
    process.wait()
    mark = json.loads((folder / "start.json").read_text())["mark"]
    assert bootstrap.state(str(folder), mark)["state"] == "lost"
    time.sleep(1.2)
    assert not (folder / "work" / "started").exists()


def test_another_process_with_its_number_is_not_the_bootstrap(folder: Path) -> None:
    start = {**_own_start(), "process_started": "0"}
    (folder / "start.json").write_text(json.dumps(start))
    assert bootstrap.state(str(folder))["exit"]["reason"] == "the bootstrap was killed"


def test_a_host_that_was_restarted_is_the_reason(folder: Path) -> None:
    (folder / "start.json").write_text(json.dumps({**_own_start(), "boot": "another"}))
    assert bootstrap.state(str(folder))["exit"]["reason"] == "host restarted"


@on_linux
def test_what_runs_in_a_container_is_not_judged_from_outside(folder: Path) -> None:
    start = {**_own_start(), "process_started": "0", "pid_namespace": "pid:[1]"}
    (folder / "start.json").write_text(json.dumps(start))
    assert bootstrap.state(str(folder)) == {"state": "running"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', '{"pid": -1}', "\0" * 200])
def test_a_damaged_start_is_a_lost_run(folder: Path, content: str) -> None:
    (folder / "start.json").write_text(content)
    assert bootstrap.state(str(folder))["state"] == "lost"


def test_a_damaged_end_is_none(folder: Path) -> None:
    (folder / "start.json").write_text(json.dumps(_own_start()))
    (folder / "exit.json").write_text("")
    assert bootstrap.state(str(folder)) == {"state": "running"}


def _own_start() -> dict[str, Any]:
    """What the start of a run says whose bootstrap is this very process."""
    seen = processes.process(os.getpid())
    assert seen is not None
    return {
        "run_id": f"R-{os.urandom(4).hex()}",
        "pid": os.getpid(),
        "process_started": seen.started,
        "pid_namespace": processes.pid_namespace(),
        "boot": processes.boot_id(),
    }


@on_linux
@pytest.mark.parametrize(
    "forged", [{}, {"pid": 2**22 + 1}, {"pid_namespace": "pid:[1]"}, {"boot": "another"}, {"process_started": "1"}]
)
def test_a_start_that_a_run_made_up_ends_no_other_process(folder: Path, forged: dict[str, Any]) -> None:
    mark = processes.LEAST_MARK + 777
    environment = {"AMLTOOL_RUN_ID": "another-run"}
    with subprocess.Popen(
        ["/bin/sleep", "300"], env=environment, preexec_fn=lambda: processes.put_mark(mark)
    ) as victim:
        seen = processes.process(victim.pid)
        assert seen is not None
        start = {"pid": victim.pid, "process_started": seen.started, "mark": mark, "run_id": "another-run"}
        (folder / "start.json").write_text(json.dumps({**_own_start(), **start, **forged}))
        for own in (None, processes.LEAST_MARK + 1):
            bootstrap.state(str(folder), own)
            bootstrap.cancel(str(folder), 0.1, own)
        alive = victim.poll()
        victim.kill()
    assert alive is None


@on_linux
def test_a_cancel_ends_a_run_that_hid_its_bootstrap(folder: Path) -> None:
    mark = processes.LEAST_MARK + 778
    process = background(folder, spec("sleep", "300", mark=mark))
    start = json.loads((folder / "start.json").read_text())
    (folder / "start.json").write_text(json.dumps({**start, "pid": os.getpid(), **_own_start()}))
    bootstrap.cancel(str(folder), mark=mark)
    process.wait(120)
    assert processes.marked(mark, None) == set()


@on_linux
def test_a_process_that_hides_is_found_by_its_mark(folder: Path) -> None:
    hidden = (
        "import os\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
        "open('pid', 'w').write(str(os.getpid()))\nos.chdir('/')\nos.closerange(0, 10)\n"
        "os.execve('/bin/sleep', ['sleep', '300'], {})"
    )
    process = background(folder, spec("sh", "-c", '"$@"; sleep 300', "sh", sys.executable, "-I", "-c", hidden))
    pid_file = folder / "work" / "pid"
    while not (pid_file.exists() and pid_file.read_text()):
        time.sleep(0.01)
    pid = int(pid_file.read_text())
    mark = json.loads((folder / "start.json").read_text())["mark"]
    process.kill()
    process.wait()
    assert bootstrap.state(str(folder), mark)["state"] == "lost"
    found = processes.process(pid)
    assert found is None or not found.is_alive


@on_linux
def test_without_the_reaper_of_orphans_they_are_found_by_their_mark(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import os\nif os.fork(): os._exit(3)\nos.setsid()\nif os.fork(): os._exit(0)\n"
        "os.execve('/bin/sleep', ['sleep', '300'], {})"
    )
    program = (
        f"import sys; sys.path.insert(0, {str(BOOTSTRAP.parents[2])!r})\n"
        "from amltool.tracking import bootstrap, processes\n"
        "processes.adopt_orphans = lambda: False\n"
        f"bootstrap.run({str(folder)!r}, {{'run_id': 'R', 'command': {[sys.executable, '-I', '-c', script]!r},"
        f" 'environment': {PATH!r}, 'work': 'work'}})"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)
    assert end_of(folder)["exit_code"] == 3
    start = json.loads((folder / "start.json").read_text())
    assert processes.marked(start["mark"], start["run_id"]) == set()


def interpreters() -> list[Any]:
    """Every Python of this machine that a run may be started by: those beside ours, pyenv's, and the system's."""
    folders = [Path(sys.base_prefix).parent, Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"]
    found = {path.name.rpartition(".")[0]: path / "bin/python" for place in folders for path in place.glob("3.*.*")}
    found.update({path.name[len("python") :]: path for path in Path("/usr/bin").glob("python3.*[0-9]")})
    absent = pytest.mark.skip(reason="this machine has no such Python")
    return [pytest.param(found.get(name), id=name, marks=[] if name in found else absent) for name in VERSIONS]


@pytest.mark.parametrize("python", interpreters())
def test_any_python_from_3_6_on_runs_it(folder: Path, python: Path) -> None:
    odd = os.fsdecode(b"\xff\x80")
    content = spec("sh", "-c", 'printf "%s" "$0"; setsid sleep 300 & exit 9', odd + "ü", secrets=["hunter22"])
    called = call("run", folder, content=content, python=str(python))
    assert (called.returncode, called.stderr) == (0, b"")
    assert (folder / "console.log").read_bytes() == b"\xff\x80\xc3\xbc"
    assert end_of(folder)["exit_code"] == 9
    said = json.loads(call("state", folder, python=str(python)).stdout)
    assert said == {"state": "ended", "exit": end_of(folder)}


def test_a_start_imports_little(folder: Path) -> None:
    program = (
        f"import sys; sys.argv = ['x']; sys.path.insert(0, {str(BOOTSTRAP.parent)!r})\n"
        "import bootstrap; bootstrap.run(sys.path[0] and "
        f"{str(folder)!r}, bootstrap.loads({spec('true')!r}))\n"
        "print(*sys.modules)"
    )
    # Standard output is the bootstrap's to close: it says where it went before that.
    program = program.replace(
        "print(*sys.modules)", f"open({str(folder / 'modules')!r}, 'w').write(' '.join(sys.modules))"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True, timeout=300)
    costly = {"re", "json", "enum", "signal", "ctypes", "subprocess", "typing", "datetime", "threading", "amltool"}
    assert costly & set((folder / "modules").read_text().split()) == set()


def test_a_launch_says_that_a_run_began_and_lets_go_of_it(folder: Path) -> None:
    done = call("launch", folder, content=spec("sh", "-c", "until [ -e go ]; do sleep 0.01; done"))
    assert json.loads(done.stdout) == {"state": "running"}
    (folder / "work/go").touch()
    wait_until((folder / "exit.json").exists)
    assert json.loads((folder / "exit.json").read_bytes())["exit_code"] == 0


def test_a_launch_of_a_short_run_says_how_it_ended(folder: Path) -> None:
    done = json.loads(call("launch", folder, content=spec("sh", "-c", "exit 3")).stdout)
    assert (done["state"], done["exit"]["exit_code"]) == ("ended", 3)


def test_a_launch_without_a_folder_says_so(folder: Path) -> None:
    assert json.loads(call("launch", folder / "none", content=spec("true")).stdout) == {"state": "nowhere"}


def test_a_launch_of_half_a_spec_has_no_effect(folder: Path) -> None:
    assert call("launch", folder, content=spec("true")[:-1]).returncode == 2
    assert not (folder / "start.json").exists()


@pytest.mark.parametrize("verb", ["state", "receive", "turns"])
@pytest.mark.parametrize(("room", "kept"), [(1 << 20, False), (1 << 30, True)])
def test_compiled_modules_are_kept_only_where_the_disk_has_room_for_all_of_them(
    verb: str, room: int, kept: bool, tmp_path: Path
) -> None:
    package = tmp_path / "tracking"
    shutil.copytree(BOOTSTRAP.parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        "import os, runpy, sys, types\n"
        f"os.statvfs = lambda _: types.SimpleNamespace(f_bavail={room >> 10}, f_frsize=1024)\n"
        f"sys.argv[1:] = [{verb!r}, 'x']\n"
        f"runpy.run_path({str(package / 'bootstrap.py')!r}, run_name='__main__')\n"
    )

    subprocess.run([sys.executable, "-I", "-S", "-c", script], input=b"", capture_output=True, timeout=300)

    assert (package / "__pycache__").exists() is kept
