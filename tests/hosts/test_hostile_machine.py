"""A machine that answers without end: a sentence for whoever asked, and no more memory than an honest one takes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).parents[2]
SHORT_S, LONG_S = 120, 600
ENDLESS = pytest.mark.parametrize(
    "lie", ["large_parts", "empty_parts", pytest.param("large_headers", marks=pytest.mark.torture)]
)
CLIENT = """
import json, sys
from collections import deque
from pathlib import Path, PurePosixPath
from amltool.errors import TargetError
from amltool.hosts import ssh
from amltool.hosts.base import Piece
from amltool.hosts.ssh_settings import SshSettings

port, known_hosts, lie, *questions = sys.argv[1:]
FOLDER, FILE = PurePosixPath("/x"), PurePosixPath("/x/y")

def opened(host):
    with host.open(FOLDER, "y") as stream:
        stream.read()

ASK = {
    "run": lambda host: host.run(["true"]),
    "start": lambda host: host.start(["true"]),
    "evaluate": lambda host: host.evaluate("", []),
    "read": lambda host: host.read(FILE),
    "read a block": lambda host: host.read(FILE, 0, 65_536),
    "read soon": lambda host: host.read_soon(FILE, 0, 65_536, FILE).wait(60),
    "write": lambda host: host.write(FILE, b""),
    "write many": lambda host: host.write_many([(FILE, b"", 0o644)] * 3),
    "make a folder": lambda host: host.make_folder(FOLDER),
    "exists": lambda host: host.exists(FILE),
    "names": lambda host: host.names(FOLDER),
    "rename": lambda host: host.rename(FILE, FOLDER),
    "remove": lambda host: host.remove(FILE),
    "walk": lambda host: deque(host.walk(FOLDER), maxlen=0),
    "walk and keep": lambda host: list(host.walk(FOLDER)),
    "open": opened,
    "pieces": lambda host: list(host.pieces(FOLDER, [Piece("y", 10)])),
    "listen": lambda host: host.open_stream(["yes"]).read(),
    "do not listen": lambda host: host.open_stream(["flood"]).wait(60),
}

def peak():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

with Path(known_hosts).open("w") as stream:
    stream.write(f"[127.0.0.1]:{port} {sys.stdin.readline()}")
settings = SshSettings(
    "127.0.0.1", int(port), lie, password=lambda: "any", use_ssh_key=False, known_hosts=(Path(known_hosts),),
    compression=lie == "bomb",
)
host = ssh.SshHost(settings)
host.facts()
before, said = peak(), {}
for question in questions:
    try:
        said[question] = f"gave {str(ASK[question](host))[:50]}"
    except TargetError as error:
        said[question] = str(error)
print(json.dumps({"said": said, "megabytes": peak() - before}))
"""
LITTLE = (
    "start", "read a block", "read soon", "write", "write many", "make a folder", "exists", "rename", "remove", "open",
    "pieces",
)  # fmt: skip
"""Questions to which an honest answer is short."""
TOO_MUCH = "sent more than it was asked for"


class Machine:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._port, self._key = process.stdout.readline().strip().split(" ", 1)

    def asked(self, lie: str, *questions: str, folder: Path, within_s: float = SHORT_S, before: str = "") -> Any:
        """What a client says of each question, and by how many megabytes its memory grew at most."""
        command = [sys.executable, "-c", before + CLIENT, self._port, str(folder / "known_hosts"), lie, *questions]
        done = subprocess.run(command, input=self._key, capture_output=True, text=True, timeout=within_s, cwd=TOP)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    words = [sys.executable, "-m", "tests.hosts.hostile_machine"]
    with subprocess.Popen(words, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Machine(process)


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak of the memory is read from /proc")


@ENDLESS
def test_whoever_asked_for_little_takes_little(machine: Machine, tmp_path: Path, lie: str) -> None:
    found = machine.asked(lie, *LITTLE, folder=tmp_path)
    refused = (TOO_MUCH, "gives an answer that is none")
    assert [said for said in found["said"].values() if not any(words in said for words in refused)] == []
    assert found["megabytes"] < 40


@ENDLESS
def test_what_may_be_longer_has_an_end(machine: Machine, tmp_path: Path, lie: str) -> None:
    found = machine.asked(lie, "run", "evaluate", "names", folder=tmp_path)
    assert [said for said in found["said"].values() if TOO_MUCH not in said] == []
    assert found["megabytes"] < 70


def test_a_file_that_is_read_whole_has_an_end(machine: Machine, tmp_path: Path) -> None:
    found = machine.asked("large_parts", "read", folder=tmp_path)
    assert TOO_MUCH in found["said"]["read"]
    assert found["megabytes"] < 200


def test_an_answer_that_grows_when_it_is_read_does_not_grow_for_ever(machine: Machine, tmp_path: Path) -> None:
    found = machine.asked("nested", "evaluate", "names", folder=tmp_path)
    assert "gives an answer that is none" in found["said"]["names"]
    assert found["megabytes"] < 350


@pytest.mark.parametrize(("lie", "sentence"), [("entries", "holds more than 50,000 files"), ("long_names", TOO_MUCH)])
def test_files_below_a_folder_are_counted(machine: Machine, tmp_path: Path, lie: str, sentence: str) -> None:
    smaller = "from amltool.hosts import ssh; ssh.MOST_FILES, ssh.LARGEST_WALK = 50_000, 6_400_000\n"
    found = machine.asked(lie, "walk", folder=tmp_path, before=smaller)
    assert sentence in found["said"]["walk"]
    assert found["megabytes"] < 60


@pytest.mark.torture
@pytest.mark.parametrize("lie", ["entries", "long_names"])
def test_all_files_that_are_taken_find_room(machine: Machine, tmp_path: Path, lie: str) -> None:
    found = machine.asked(lie, "walk and keep", folder=tmp_path, within_s=LONG_S)
    assert "gave" not in found["said"]["walk and keep"]
    assert found["megabytes"] < 1200


def test_a_frame_that_is_too_large_to_be_one_is_not_taken(machine: Machine, tmp_path: Path) -> None:
    found = machine.asked("huge_frame", "run", folder=tmp_path)
    assert "unreachable" in found["said"]["run"]
    assert found["megabytes"] < 40


def test_a_command_that_prints_for_ever_is_not_heard_for_ever(machine: Machine, tmp_path: Path) -> None:
    found = machine.asked("honest", "listen", folder=tmp_path)
    assert "printed more than 16 MB, and was not heard to its end" in found["said"]["listen"]
    assert found["megabytes"] < 60


@pytest.mark.parametrize(
    ("lie", "question"), [("huge_packet", "run"), ("bomb", "run"), ("flood", "do not listen")]
)  # fmt: skip
def test_a_machine_that_sends_more_than_ssh_allows_is_hung_up_on(
    machine: Machine, tmp_path: Path, lie: str, question: str
) -> None:
    found = machine.asked(lie, question, folder=tmp_path)
    assert "unreachable" in found["said"][question]
    assert found["megabytes"] < 40
