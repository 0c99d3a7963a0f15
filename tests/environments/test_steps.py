"""The steps of a build: their variables are on no command line, and they die with whoever started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath

import pytest

from amltool.environments.building import BuildLog, BuildVariables
from amltool.environments.steps import Steps
from amltool.errors import UserError
from amltool.testing.hosts import FakeHost


@pytest.fixture
def steps(host, told, tmp_path):
    variables = BuildVariables({"TOKEN": "hunter22 'quoted'\n$HOME"}, ("hunter22",))
    return Steps(host, PurePosixPath(tmp_path), variables, BuildLog(told, variables.secrets))


def test_variables_reach_the_command_exactly_and_it_runs_in_the_folder(steps, tmp_path):
    script = "import os, pathlib; pathlib.Path('seen').write_text(os.environ['TOKEN'])"
    steps.run("Looking", [sys.executable, "-c", script], "")
    assert (tmp_path / "seen").read_text() == "hunter22 'quoted'\n$HOME"


def test_secrets_are_on_no_command_line(steps, tmp_path):
    script = (
        "import pathlib; p = pathlib.Path('/proc');"
        "pathlib.Path('seen').write_bytes(b''.join(f.read_bytes() for f in p.glob('self/cmdline'))"
        " + (p / str(__import__('os').getppid()) / 'cmdline').read_bytes())"
    )
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("no /proc on this system")
    steps.run("Looking", [sys.executable, "-c", script], "")
    seen = (tmp_path / "seen").read_bytes()
    assert b"python" in seen
    assert b"hunter22" not in seen


def test_output_comes_line_by_line_without_secrets(steps, told):
    steps.run("Talking", ["sh", "-c", "echo one; echo the $TOKEN >&2"], "")
    assert told.logged[0] == "one"
    assert "[redacted]" in told.logged[1]


@pytest.mark.parametrize(("command", "ended"), [("exit 3", "exit code 3"), ("kill -9 $$", "exit code 137")])
def test_a_failure_says_which_step_what_it_said_and_what_to_do(steps, command, ended):
    with pytest.raises(UserError) as error:
        steps.run("Installing", ["sh", "-c", f"echo no such package; {command}"], "Correct it.")
    assert error.value.what.startswith(f"Installing ({ended}) failed")
    assert "no such package" in error.value.what
    assert error.value.remedy == "Correct it."


@pytest.mark.parametrize(
    "said",
    [
        "SSLError: CERTIFICATE_VERIFY_FAILED: certificate verify failed",
        "error: invalid peer certificate: UnknownIssuer",
    ],
)
def test_a_certificate_that_is_not_trusted_is_what_to_mend_whatever_the_step_was(steps, said):
    with pytest.raises(UserError) as error:
        steps.run("Installing", ["sh", "-c", f"echo '{said}'; exit 1"], "Correct the package.")
    assert "caCertificates" in error.value.remedy


def test_standard_input_is_empty(steps, tmp_path):
    steps.run("Reading", ["sh", "-c", "cat > read"], "")
    assert (tmp_path / "read").read_bytes() == b""


def test_variables_of_the_users_shell_that_would_lead_it_astray_are_gone(steps, told, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    steps.run("Looking", ["sh", "-c", 'echo "<$PYTHONPATH$PIP_TARGET>"'], "")
    assert told.logged == ["<>"]


def test_what_the_user_has_set_for_pip_holds_for_uv_and_settings_for_uv_come_first(steps, told, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://example.org/a b/")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://example.org/pip/")
    monkeypatch.setenv("UV_EXTRA_INDEX_URL", "https://example.org/uv/")
    steps.run("Looking", ["sh", "-c", 'echo "$UV_INDEX_URL $UV_EXTRA_INDEX_URL"'], "")
    assert told.logged == ["https://example.org/a b/ https://example.org/uv/"]


def test_a_command_dies_with_the_process_that_started_it(tmp_path):
    """Also by SIGKILL: nothing goes on writing into a folder that the next build removes."""
    script = (
        "from pathlib import PurePosixPath as P; from amltool.hosts.local import LocalHost\n"
        "from amltool.environments.steps import Steps; from amltool.environments.building import *\n"
        "from tests.environments.conftest import Told\n"
        f"steps = Steps(LocalHost(), P({str(tmp_path)!r}), BuildVariables({{}}, ()), BuildLog(Told(), []))\n"
        "steps.run('Waiting', ['sh', '-c', 'sleep 60 & echo $! > child; echo $$ > own; wait'], '')\n"
    )
    client = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
    pids = [int(_read_soon(tmp_path / name)) for name in ("child", "own")]
    client.send_signal(signal.SIGKILL)
    client.wait()
    deadline = time.monotonic() + 120
    while any(map(lives, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(lives, pids))


def test_a_host_over_a_wire_is_given_the_same(told, tmp_path):
    seen = []

    class Elsewhere(FakeHost):
        def run(self, command, *, input=b"", timeout_s=None):
            seen.append((command, input))
            ended = subprocess.run(command, input=input, capture_output=True)
            return type("Result", (), {"exit_code": ended.returncode, "stdout": ended.stdout, "stderr": ended.stderr})

    log = BuildLog(told, ["hunter22"])
    steps = Steps(Elsewhere(), PurePosixPath(tmp_path), BuildVariables({"TOKEN": "hunter22"}, ("hunter22",)), log)
    steps.run("Talking", ["sh", "-c", "echo the $TOKEN; pwd"], "")
    assert told.logged == ["the [redacted]", str(tmp_path)]
    assert "hunter22" not in str(seen[0][0])


def _read_soon(path: Path) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if path.exists() and path.read_text().strip():
            return path.read_text()
        time.sleep(0.02)
    raise AssertionError(f"{path.name} was never written")


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")
