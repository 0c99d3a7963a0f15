"""Azurite, the emulator of Azure Storage, for tests: from npm, kept in the cache of the tests.

The word in AMLTOOL_REQUIRE is ``azurite``. Each process of a test run starts its own, at a port that the system
chooses, and ends it.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from amltool.files import locked
from tests.components import places
from tests.components.docker_service import install
from tests.components.required import is_required, missing
from tests.waiting import wait_until

VERSION = "3.37.0"
INSTALL_S, START_S = 600, 120
ACCOUNT = "amltooltests"
KEY = base64.b64encode(os.urandom(64)).decode()
"""Of this process only, so that who looks for it finds none of another Azurite."""
_LISTENING = re.compile(rb"successfully listens? on http://127\.0\.0\.1:(\d+)|listening at http://127\.0\.0\.1:(\d+)")


@dataclass
class Azurite:
    """An Azurite of one's own; ``keeps``: in ``folder``, so that it may be started again there, at its port."""

    folder: Path
    port: int = 0
    keeps: bool = True
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return url_of(self.port)

    def start(self) -> None:
        said = self.folder / "said"
        place = ["--location", str(self.folder / "kept")] if self.keeps else ["--inMemoryPersistence"]
        options = ["--skipApiVersionCheck", "--disableTelemetry", "--silent", "--blobHost", "127.0.0.1"]
        with said.open("wb") as stream:
            self.process = subprocess.Popen(
                ["node", str(_program()), *options, "--blobPort", str(self.port), *place],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(self.folder),
                    "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}",
                },
            )
        running = self.process
        wait_until(lambda: running.poll() is not None or _LISTENING.search(said.read_bytes()), START_S)
        found = _LISTENING.search(said.read_bytes())
        assert found, said.read_text(errors="replace")[-2000:]
        self.port = int(found[1] or found[2])

    def end(self, sent: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM lets it write down what it has; SIGKILL does not."""
        if self.process is not None:
            self.process.send_signal(sent)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


def url_of(port: int) -> str:
    return f"http://127.0.0.1:{port}/{ACCOUNT}"


def connection_string(url: str) -> str:
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={url};"


def make_container(azurite: Azurite, name: str) -> None:
    """Make it where it is not there."""
    from azure.core.exceptions import ResourceExistsError  # noqa: TID251
    from azure.storage.blob import ContainerClient  # noqa: TID251 (a test looks behind our back)

    with contextlib.suppress(ResourceExistsError):
        ContainerClient.from_connection_string(connection_string(azurite.url), name).create_container()


def _program() -> Path:
    return _folder() / "node_modules/azurite/dist/src/blob/main.js"


def _folder() -> Path:
    return places.CACHE / f"azurite-{VERSION}"


def _install() -> None:
    """Put it into the cache, whole or not at all; Node.js and npm come with apt, as root."""
    with locked(places.state() / "azurite.lock", within_s=INSTALL_S):
        if any(shutil.which(program) is None for program in ("node", "npm")):
            install(("nodejs", "npm"))
        if _program().exists():
            return
        beside = places.CACHE / f".azurite-{os.getpid()}"
        beside.mkdir(parents=True)
        try:
            done = subprocess.run(
                ["npm", "install", "--prefix", str(beside), "--no-audit", "--no-fund", "--ignore-scripts",
                 f"azurite@{VERSION}"],
                capture_output=True, text=True, timeout=INSTALL_S,
            )  # fmt: skip
            if done.returncode:
                pytest.fail(f"Azurite cannot be installed:\n{done.stderr[-2000:]}", pytrace=False)
            shutil.rmtree(_folder(), ignore_errors=True)
            beside.rename(_folder())
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def _available() -> None:
    if not is_required("azurite"):
        missing("azurite", "no Azurite is started by this run")
    _install()


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """An Azurite that answers, for all tests of this process."""
    _available()
    started = Azurite(tmp_path_factory.mktemp("azurite"), keeps=False)
    started.start()
    yield started
    started.end()


@pytest.fixture
def own_azurite(tmp_path: Path) -> Iterator[Azurite]:
    """One that a test may end and start again."""
    _available()
    (tmp_path / "azurite").mkdir()
    started = Azurite(tmp_path / "azurite")
    started.start()
    yield started
    started.end()
