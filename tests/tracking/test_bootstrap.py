"""The bootstrap by itself: its claim, its last words, what it says of runs that went wrong, and its own cost."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amltool.tracking import bootstrap, processes, supervision
from amltool.tracking.quick_json import dumps, loads
from amltool.tracking.redaction import REDACTED, Redactor, forms

BOOTSTRAP = Path(bootstrap.__file__)
PATH = {"PATH": os.environ["PATH"]}
LINUX = sys.platform.startswith("linux")
VERSIONS = ("3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13")

on_linux = pytest.mark.skipif(not LINUX, reason="needs /proc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run" / "work").mkdir(parents=True)
    return tmp_path / "run"


def spec(*command: str, **more: Any) -> bytes:
    content = {"run_id": f"R-{os.urandom(4).hex()}", "command": command, "environment": PATH, "work": "work", **more}
    return json.dumps(content).encode() + b"\n"


def call(*arguments: str | Path, content: bytes = b"", python: str = sys.executable) -> subprocess.CompletedProcess:
    command = [python, "-I", "-S", BOOTSTRAP, *arguments]
    return subprocess.run(command, input=content, capture_output=True, timeout=60)


def background(folder: Path, content: bytes, **more: Any) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-I", "-S", BOOTSTRAP, "run", folder], stdin=subprocess.PIPE, **more)
    assert process.stdin is not None
    process.stdin.write(content)
    process.stdin.close()
    until = time.monotonic() + 20
    while not (folder / "start.json").exists() and time.monotonic() < until:
        time.sleep(0.0005)
    return process


def end_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "exit.json").read_text())


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
    assert called.stderr.startswith(b"bootstrap.py run|launch|state|cancel FOLDER")


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
    until = time.monotonic() + 20
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
    assert process.wait(20) == 0
    assert end_of(folder)["signal"] == "SIGTERM"
    assert end_of(folder)["canceled"] is True


def test_a_run_that_handles_its_termination_says_how_it_ended(folder: Path) -> None:
    ready = folder / "work" / "ready"
    process = background(folder, spec("sh", "-c", "trap 'echo saved; exit 0' TERM; touch ready; sleep 300 & wait"))
    while not ready.exists():
        time.sleep(0.01)
    bootstrap.cancel(str(folder))
    process.wait(20)
    assert (folder / "console.log").read_bytes() == b"saved\n"
    assert (end_of(folder)["exit_code"], end_of(folder)["canceled"]) == (0, True)


def test_a_stopped_bootstrap_is_canceled_too(folder: Path) -> None:
    process = background(folder, spec("sleep", "300"))
    process.send_signal(signal.SIGSTOP)
    bootstrap.cancel(str(folder))
    assert process.wait(20) == 0
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
    assert process.wait(20) == 0
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
    assert process.wait(20) == 0
    assert 4.5 < time.monotonic() - begun < 8
    assert end_of(folder)["signal"] == "SIGKILL"
    assert end_of(folder)["canceled"] is cancel_first


def test_a_spec_is_read_without_the_end_of_the_stream(folder: Path) -> None:
    command = [sys.executable, "-I", "-S", BOOTSTRAP, "run", folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(spec("sh", "-c", "exit 4"))
        process.stdin.flush()
        assert process.wait(20) == 0
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
    assert bootstrap.state(str(folder))["state"] == "lost"
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
    process.kill()
    process.wait()
    assert bootstrap.state(str(folder))["state"] == "lost"
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
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert end_of(folder)["exit_code"] == 3
    start = json.loads((folder / "start.json").read_text())
    assert processes.marked(start) == set()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place]
    if not LINUX or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root on Linux")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def room(disk: Path) -> int:
    return os.statvfs(disk).f_bavail


def fill(disk: Path) -> None:
    subprocess.run(["dd", "if=/dev/zero", f"of={disk}/fill", "bs=4k"], stderr=subprocess.DEVNULL)
    assert room(disk) == 0


def test_the_end_of_a_run_is_written_though_the_disk_is_full(small_disk: Path) -> None:
    folder = small_disk / "run"
    (folder / "work").mkdir(parents=True)
    call("run", folder, content=spec("sh", "-c", "cat /dev/zero > fill; exit 5"))
    assert room(small_disk) == 0
    assert end_of(folder)["exit_code"] == 5


def test_a_full_disk_holds_a_redacted_console_back_but_loses_nothing(small_disk: Path) -> None:
    folder = small_disk / "run"
    (folder / "work").mkdir(parents=True)
    script = "cat /dev/zero > fill 2>/dev/null; yes | head -c 30000; exit 5"
    process = background(folder, spec("sh", "-c", script, secrets=["hunter22"]))
    time.sleep(0.7)
    assert not (folder / "exit.json").exists()
    (folder / "work" / "fill").unlink()
    process.wait(20)
    assert (folder / "console.log").read_bytes() == b"y\n" * 15000
    assert end_of(folder)["exit_code"] == 5


def test_a_disk_that_is_full_from_the_start_starts_nothing(small_disk: Path) -> None:
    folder = small_disk / "run"
    (folder / "work").mkdir(parents=True)
    fill(small_disk)
    assert call("run", folder, content=spec("touch", "started")).returncode == 1
    assert not (folder / "start.json").exists()
    assert not (folder / "work" / "started").exists()


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """A control group whose processes may have 32 MB."""
    own = Path("/proc/self/cgroup").read_text().splitlines() if LINUX else []
    groups = {line.split(":")[1]: line.split(":")[2] for line in own}
    top = Path("/sys/fs/cgroup")
    version_1 = "memory" in groups
    parent = top / "memory" / groups["memory"].lstrip("/") if version_1 else top / groups.get("", "/").lstrip("/")
    group = parent / f"amltool-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if version_1 else "memory.max")).write_text("32M")
    except OSError as error:
        if group.exists():
            group.rmdir()
        pytest.skip(f"no control group with a memory limit can be made here: {error.strerror}")
    yield group
    group.rmdir()


def test_a_command_that_was_killed_for_want_of_memory_says_so(folder: Path, little_memory: Path) -> None:
    greedy = "held = bytearray(200_000_000); held[::4096] = b'x' * len(held[::4096])"
    command = [sys.executable, "-I", "-S", str(BOOTSTRAP), "run", str(folder)]
    subprocess.run(
        ["sh", "-c", f'echo $$ > "{little_memory}/cgroup.procs"; exec "$@"', "sh", *command],
        input=spec(sys.executable, "-I", "-S", "-c", greedy),
        check=True,
        timeout=60,
    )
    assert (end_of(folder)["signal"], end_of(folder)["reason"]) == ("SIGKILL", "out of memory")


def test_a_command_that_was_merely_killed_is_not_out_of_memory(folder: Path) -> None:
    call("run", folder, content=spec("sh", "-c", "kill -9 $$"))
    assert (end_of(folder)["signal"], end_of(folder)["reason"]) == ("SIGKILL", None)


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
    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True, timeout=60)
    costly = {"re", "json", "enum", "signal", "ctypes", "subprocess", "typing", "datetime", "threading", "amltool"}
    assert costly & set((folder / "modules").read_text().split()) == set()


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda values: st.dictionaries(st.text(), values, max_size=5),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), plain))
def test_what_is_written_as_json_is_read_alike_by_anybody(value: dict[str, Any]) -> None:
    text = dumps(value)
    assert text.isascii()
    assert json.loads(text) == value
    assert loads(text.encode()) == value
    assert loads(json.dumps(value, indent=1).encode()) == value


@given(st.binary(max_size=50))
def test_what_is_no_json_is_refused(content: bytes) -> None:
    try:
        expected = json.loads(content.decode())
    except ValueError:
        with pytest.raises(ValueError):
            loads(content)
    else:
        assert loads(content) == expected or expected != expected


def redacted(text: bytes, secrets: list[str], cuts: list[int]) -> bytes:
    redactor = Redactor(secrets)
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    return b"".join([*(redactor.redact(piece) for piece in pieces if piece), redactor.redact(b"")])


@given(
    st.lists(st.sampled_from(["ab", "abab", "hunter22", "aab"]), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from([b"a", b"b", b"ab", b"hunter2", b"hunter22", b" ", b"\n"]), max_size=20).map(b"".join),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_the_pieces_a_text_comes_in_make_no_difference(secrets: list[str], text: bytes, cuts: list[int]) -> None:
    whole = redacted(text, secrets, [])
    assert redacted(text, secrets, cuts) == whole
    assert not any(secret.encode() in whole.replace(REDACTED, b"\0") for secret in secrets)


@given(st.text(min_size=1, max_size=30), st.binary(max_size=40), st.lists(st.integers(0, 300), max_size=5))
def test_every_form_of_a_secret_is_replaced(secret: str, around: bytes, cuts: list[int]) -> None:
    value = secret.encode("utf-8", "surrogateescape")
    shown = [value, base64.b64encode(value), urllib.parse.quote_from_bytes(value, safe="").encode()]
    shown += [
        base64.urlsafe_b64encode(value),
        urllib.parse.quote_plus(value).encode(),
        json.dumps(secret)[1:-1].encode(),
    ]
    for form in shown:
        assert form in set(forms(secret))
        # 0xff is in no form: with "<" around, the secrets "<" and "<<" are found there as well, and rightly
        assert redacted(b"\xff" + form + b"\xff", [secret], cuts) == b"\xff" + REDACTED + b"\xff"
    if not any(form in around for form in forms(secret)):
        assert redacted(around, [secret], cuts) == around


@given(st.text(st.characters(codec="ascii"), min_size=12, max_size=40), st.binary(max_size=8), st.binary(max_size=8))
def test_a_secret_within_a_base64_text_does_not_get_through(secret: str, before: bytes, after: bytes) -> None:
    said = redacted(base64.b64encode(before + secret.encode() + after), [secret], [])
    assert REDACTED in said
    assert len(said) - len(REDACTED) <= 4 * ((len(before) + len(after)) // 3 + 4)


def test_lines_of_a_long_secret_are_secret_too() -> None:
    key = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA\nq83vq83vq83vq83v\n-----END KEY-----\n"
    said = redacted(b"  MIIEowIBAAKCAQEA\r\n  q83vq83vq83vq83v\r\n", [key], [3, 30])
    assert said == b"  [redacted]\r\n  [redacted]\r\n"


def test_only_what_may_begin_a_secret_is_held_back() -> None:
    redactor = Redactor(["hunter22"])
    assert redactor.redact(b"a line\n") == b"a line\n"
    assert redactor.redact(b"ask hunt") == b"ask "
    assert redactor.redact(b"ing\n") == b"hunting\n"
    assert redactor.redact(b"hunter2") == b""
    assert redactor.redact(b"2") == b"[redacted]"
    assert redactor.redact(b"") == b""


def test_a_launch_says_that_a_run_began_and_lets_go_of_it(folder: Path) -> None:
    begun = time.monotonic()
    done = call("launch", folder, content=spec("sleep", "1"))
    assert json.loads(done.stdout) == {"state": "running"}
    assert time.monotonic() - begun < 0.9
    while not (folder / "exit.json").exists() and time.monotonic() - begun < 20:
        time.sleep(0.01)
    assert json.loads((folder / "exit.json").read_bytes())["exit_code"] == 0


def test_a_launch_of_a_short_run_says_how_it_ended(folder: Path) -> None:
    done = json.loads(call("launch", folder, content=spec("sh", "-c", "exit 3")).stdout)
    assert (done["state"], done["exit"]["exit_code"]) == ("ended", 3)


def test_a_launch_without_a_folder_says_so(folder: Path) -> None:
    assert json.loads(call("launch", folder / "none", content=spec("true")).stdout) == {"state": "nowhere"}


def test_a_launch_of_half_a_spec_has_no_effect(folder: Path) -> None:
    assert call("launch", folder, content=spec("true")[:-1]).returncode == 2
    assert not (folder / "start.json").exists()


@pytest.mark.parametrize("program", ["bootstrap.py", "receiving.py"])
@pytest.mark.parametrize(("room", "kept"), [(1 << 20, False), (1 << 30, True)])
def test_compiled_modules_are_kept_only_where_the_disk_has_room_for_all_of_them(
    program: str, room: int, kept: bool, tmp_path: Path
) -> None:
    package = tmp_path / "tracking"
    shutil.copytree(BOOTSTRAP.parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        "import os, runpy, types\n"
        f"os.statvfs = lambda _: types.SimpleNamespace(f_bavail={room >> 10}, f_frsize=1024)\n"
        f"runpy.run_path({str(package / program)!r}, run_name='__main__')\n"
    )

    subprocess.run([sys.executable, "-I", "-S", "-c", script], input=b"", capture_output=True, timeout=60)

    assert (package / "__pycache__").exists() is kept
