"""Look for a secret where it must not be: in all that a process of ours shows while it runs, and in what is written."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, quote_plus

from tests.amltool_command import STARTED_ANEW
from tests.components.file_keyring import FILE
from tests.components.ssh_machine import SshMachine
from tests.repositories import git
from tests.walking import files_below

LOOK_S = 0.01
OURS = (b"amltool", b"bootstrap", b"/there/")


class Canaries:
    """Within it, the command lines and environments of every process of ours are looked at all the while.

    ``allowed`` are names of environment variables where the secret is kept, because the user put it there.
    """

    def __init__(self, secret: str, *, allowed: tuple[str, ...] = ()) -> None:
        self.forms = sorted(set(_forms(secret)))
        self.in_processes: list[str] = []
        self.seen = 0
        self._allowed = tuple(f"{name}=".encode() for name in allowed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Canaries:
        STARTED_ANEW.add(self)
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        STARTED_ANEW.discard(self)

    def in_text(self, content: bytes) -> bool:
        return any(form in content for form in self.forms)

    def in_folders(self, *folders: Path) -> list[str]:
        """Files that hold it, Git's loose objects unpacked; what a keyring of the test keeps is left out."""
        return [str(file) for folder in folders for file in _files(folder) if self.in_text(_content(file))]

    def in_objects(self, repository: Path) -> bool:
        """Whether any Git object holds it, packed or not."""
        names = git(repository, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").encode()
        command = ["git", "cat-file", "--batch"]
        return self.in_text(
            subprocess.run(command, cwd=repository, input=names, capture_output=True, check=True).stdout
        )

    def in_machine(self, machine: SshMachine) -> list[str]:
        """Files on another machine that hold it: the user's, its logs, and its command lines."""
        words = [part for form in self.forms for part in ("-e", form.decode("utf-8", "surrogateescape"))]
        folders = [machine.home, "/var/log", "/tmp", "/var/tmp", "/run"]
        return machine.execute(["grep", "-rlaFs", *words, *folders])[1].splitlines()

    def in_processes_of(self, machine: SshMachine) -> bool:
        """Whether any process there shows it now."""
        shown = machine.execute(["sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ"])[1]
        return self.in_text(shown.encode())

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            for folder in Path("/proc").glob("[0-9]*"):
                if int(folder.name) == os.getpid():
                    continue
                line = _read(folder / "cmdline")
                if not any(word in line for word in OURS):
                    continue
                self.seen += 1
                variables = _read(folder / "environ").split(b"\0")
                shown = [line, *(each for each in variables if not each.startswith(self._allowed or b"\0"))]
                self.in_processes += [repr(each) for each in shown if self.in_text(each)]


def _forms(secret: str) -> Iterator[bytes]:
    """As it is, and in every usual encoding; Base64 also in the midst of something else."""
    value = secret.encode()
    yield value
    yield value[::-1]
    yield from (json.dumps(secret)[1:-1].encode(), quote(secret, safe="").encode(), quote_plus(secret).encode())
    yield from (value.hex().encode(), value.hex().upper().encode())
    for shift in range(3):
        inner = base64.b64encode(b"\0" * shift + value)[(8 * shift + 5) // 6 : 8 * (shift + len(value)) // 6]
        yield from (inner, inner.replace(b"+", b"-").replace(b"/", b"_"))


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in files_below(folder) if file.name != FILE)


def _content(file: Path) -> bytes:
    content = _read(file)
    if content and "objects" in file.parts and len(file.name) == 38:
        return zlib.decompress(content)
    return content


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # it ended, or went away
        return b""
