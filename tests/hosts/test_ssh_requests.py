"""The conversation with a host: what a host may answer that is not well, or hostile."""

from __future__ import annotations

import base64
import errno
import json
import os
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.errors import TargetError, UserError
from amltool.hosts.ssh import SshHost, SshSettings
from amltool.hosts.ssh_failures import LostError
from amltool.hosts.ssh_requests import Requests, _program
from amltool.hosts.there import serving
from amltool.hosts.there.answers import FRAME, MAGIC

FACTS = {
    "uid": 1, "gid": 1, "user": "ada", "home": "/home/ada", "python": "/usr/bin/python3", "python_version": "3.6.0",
    "boot_id": "1", "platform": "linux", "machine": "x86_64", "node": "vm",
}  # fmt: skip


def frame(header: Any, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return FRAME.pack(len(text), len(body)) + text + body


GREETING = MAGIC + frame(FACTS)


class FakeChannel:
    """What a host says, whatever it is asked; `exit_status` once it has said all."""

    remote_chanid = 0
    eof_received = True

    def __init__(self, says: bytes, then: bytes = b"", exit_status: int = 0) -> None:
        self._says, self._then = says, then
        self._asked = threading.Event()
        self._exit_status = exit_status
        self.transport = self

    def _send_user_message(self, message: object) -> None:
        pass

    def settimeout(self, timeout_s: float) -> None:
        pass

    def sendall(self, content: bytes) -> None:
        pass

    def send(self, content: bytes) -> int:
        self._asked.set()
        return len(content)

    def recv(self, size: int) -> bytes:
        if not self._says and self._then:
            self._asked.wait(10)
            self._says, self._then = self._then, b""
        block, self._says = self._says[:size], self._says[size:]
        return block

    def recv_exit_status(self) -> int:
        return self._exit_status

    def recv_stderr(self, size: int) -> bytes:
        return b""

    def close(self) -> None:
        pass


def host_that_says(answer: bytes) -> SshHost:
    host = SshHost(SshSettings("vm"))
    host._requests = Requests(FakeChannel(GREETING, answer), "vm")  # type: ignore[arg-type]
    host._connect = asked_again  # type: ignore[method-assign]
    return host


def asked_again(*, was_there: bool) -> Requests:
    pytest.fail(f"asked again, {was_there=}")


def test_what_a_login_shell_says_first_is_skipped() -> None:
    requests = Requests(FakeChannel(b"Welcome!\r\n" + GREETING), "vm")  # type: ignore[arg-type]
    assert requests.facts.user == "ada"


@pytest.mark.parametrize(
    ("said", "exit_status", "expected"),
    [
        (b"", 127, "has no python3"),
        (b"sh: python3: not found", 1, "has no python3"),
        (b"", 96, "is too old"),
        (b"This account is closed.", 1, "it said: This account is closed"),
        (b"", 1, "nothing \\(exit code 1\\)"),
        (b"y" * 100_000, -1, "prints more than 64 KB"),
    ],
)
def test_a_host_that_does_not_greet_is_a_sentence(said: bytes, exit_status: int, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        Requests(FakeChannel(said, exit_status=exit_status), "vm")  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a/../../b", ""])
def test_a_name_that_leads_out_of_the_folder_is_refused(path: str) -> None:
    entries = json.dumps([[path, "file", 1, 1, 1, 1, 1]]).encode()
    with pytest.raises(TargetError, match="outside the folder"):
        list(host_that_says(frame({"to": 1}, entries)).walk(PurePosixPath("/x")))


@pytest.mark.parametrize("body", [b"", b"{}", b'[["a"]]', b'[["a", "door", 1, 1, 1, 1, 1]]', b"[" * 100_000, b"\xff"])
def test_a_walk_that_is_none_is_a_sentence(body: bytes) -> None:
    with pytest.raises(TargetError, match="gives an answer that is none"):
        list(host_that_says(frame({"to": 1}, body)).walk(PurePosixPath("/x")))


def test_an_error_of_another_system_has_this_systems_number() -> None:
    host = host_that_says(frame({"to": 1, "errno": "ENOTEMPTY", "strerror": "Directory not empty"}))
    with pytest.raises(OSError, match="not empty") as refused:
        host.remove(PurePosixPath("/x"))
    assert refused.value.errno == errno.ENOTEMPTY


@pytest.mark.parametrize(
    ("sent", "moved_s", "is_gone"),
    [(0, 7, False), (0, 9, True), (60_000, 9, True), (100_000, 12, False), (100_000, 17, True), (1 << 30, 120, False),
     (1 << 30, 180, True)],
)  # fmt: skip
def test_a_silent_host_is_gone_once_what_was_sent_must_have_arrived(sent: int, moved_s: float, is_gone: bool) -> None:
    requests = Requests(FakeChannel(GREETING), "vm")  # type: ignore[arg-type]
    ago = time.monotonic() - moved_s
    requests._heard, requests._moved, requests._asked, requests._sent = ago, ago, ago + 2, sent
    assert requests._is_silent() is is_gone


def test_an_upload_that_goes_on_is_no_silence() -> None:
    requests = Requests(FakeChannel(GREETING), "vm")  # type: ignore[arg-type]
    requests._heard, requests._asked, requests._sent = time.monotonic() - 900, time.monotonic() - 890, 1 << 30
    requests._moved = time.monotonic() - 100
    assert not requests._is_silent()


def test_a_frame_that_is_too_large_to_be_one_ends_the_conversation() -> None:
    host = host_that_says(FRAME.pack(4, 1 << 60) + b"null")
    with pytest.raises(LostError):
        host.rename(PurePosixPath("/x"), PurePosixPath("/y"))


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.builds(frame, st.dictionaries(
    st.sampled_from(["to", "more", "errno", "failed", "exit_code", "stdout", "exists", "handle"]),
    st.one_of(st.integers(-2, 2), st.text(max_size=3), st.none(), st.booleans(), st.lists(st.integers(), max_size=2)),
), st.binary(max_size=20))))  # fmt: skip
def test_whatever_a_host_answers_is_an_answer_or_a_sentence(answer: bytes) -> None:
    host = SshHost(SshSettings("vm"))
    host._requests = Requests(FakeChannel(GREETING, answer), "vm")  # type: ignore[arg-type]
    try:
        host.run(["true"])
    except (TargetError, OSError):
        return


def test_the_part_there_ends_when_nobody_has_spoken_for_long(tmp_path: Path) -> None:
    program = json.loads(zlib.decompress(base64.b64decode(_program())))
    folder = tmp_path / "amltool/hosts/there"
    folder.mkdir(parents=True)
    for name, text in program[2:]:
        (folder / f"{name.rpartition('.')[2] if name.count('.') == 3 else '__init__'}.py").write_text(text)
    script = "from amltool.hosts.there import answers, serving; answers.SILENCE_S = 0.5; serving.main()"
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin
    begun = time.monotonic()
    own = f"61.{os.getpid()}"  # no other worker's
    running = {"operation": "run", "number": 1, "command": ["sleep", own], "timeout_s": None}
    process.stdin.write(frame(running))
    process.stdin.flush()
    assert process.wait(120) == 0
    assert time.monotonic() - begun > 0.5
    assert subprocess.run(["pgrep", "-f", f"sleep {own}"], capture_output=True).returncode == 1
    process.communicate()


def test_the_part_there_needs_no_more_than_python_3_6() -> None:
    vermin = Path(sys.executable).with_name("vermin")
    if not vermin.exists():
        pytest.skip("vermin is not installed")
    folder = Path(serving.__file__).parent
    words = ["--no-tips", "--violations", "--eval-annotations", "-t=3.6-", str(folder)]
    checked = subprocess.run([vermin, *words], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
