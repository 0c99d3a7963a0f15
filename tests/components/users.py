"""A user without rights, to show whose files amltool makes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

UID = 61184
"""Of no user: Debian gives users 1000-59999, systemd 61184-65519 to services that it runs."""


@dataclass(frozen=True, slots=True)
class Unprivileged:
    """Another user of this machine who may use Docker; ``home`` is a folder of theirs.

    They may read what root reads (CAP_DAC_READ_SEARCH): the interpreter and the repository of the tests may lie in
    root's home. They write, and own, what any user would.
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: Path

    def command(self, command: Sequence[str | Path]) -> list[str]:
        """A command line that root starts and that runs as this user."""
        groups = ["--groups", ",".join(map(str, self.groups))] if self.groups else ["--clear-groups"]
        capability = "+dac_read_search"
        return [
            shutil.which("setpriv") or "setpriv", "--reuid", str(self.uid), "--regid", str(self.gid), *groups,
            "--inh-caps", capability, "--ambient-caps", capability, "--", *map(str, command),
        ]  # fmt: skip

    def variables(self, **more: str) -> dict[str, str]:
        """The environment variables of a session of this user, for a command."""
        own = {"HOME": str(self.home), "USER": "unprivileged", "LOGNAME": "unprivileged", "TMPDIR": str(self.home)}
        return {**os.environ, **own, "GIT_CONFIG_GLOBAL": str(self.home / ".gitconfig"), **more}

    def run(
        self, command: Sequence[str | Path], cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, in their home if nothing else is said."""
        return subprocess.run(
            self.command(command),
            cwd=cwd or self.home,
            env=self.variables(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )
