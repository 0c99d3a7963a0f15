"""A place of its own on another machine, for every test."""

from __future__ import annotations

import os
from pathlib import PurePosixPath

import pytest

from amltool.hosts.ssh import SshHost


@pytest.fixture
def place(ssh_host: SshHost) -> PurePosixPath:
    folder = PurePosixPath(ssh_host.facts().home, os.urandom(4).hex())
    ssh_host.make_folder(folder)
    return folder
