"""A `git` on PATH that lets something happen at a chosen moment: just before the n-th call of Git's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

REWRITTEN = """
git commit -q --amend --allow-empty -m rewritten
git reflog expire --expire=now --all
git gc -q --prune=now
"""
"""Take HEAD's commit away: what a person does who tidies up, or a tool that rewrites history."""


class GitMoments:
    """Stands before Git for processes that get its `variables`; each script runs once, in the repository's folder."""

    def __init__(self, folder: Path, repository: Path) -> None:
        found = shutil.which("git")
        assert found is not None
        self._folder, self._repository, self._git = folder, repository, found
        (folder / "bin").mkdir(parents=True)
        (folder / "at").mkdir()
        wrapper = folder / "bin" / "git"
        wrapper.write_text(_WRAPPER.format(folder=folder, git=found))
        wrapper.chmod(0o755)

    @property
    def variables(self) -> dict[str, str]:
        return {"PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}"}

    def at_call(self, number: int, script: str) -> None:
        """Run a shell script before the call of Git with this number, counted from 1."""
        self._write(str(number), script)

    def before(self, command: str, script: str) -> None:
        """Run a shell script before the first call of this Git command."""
        self._write(command, script)

    @property
    def calls(self) -> int:
        """How many calls there were."""
        try:
            return (self._folder / "calls").stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def happened(self) -> bool:
        """Whether every script ran."""
        return not list((self._folder / "at").iterdir())

    def _write(self, name: str, script: str) -> None:
        head = f"cd '{self._repository}' || exit 2\nfor name in $(env | sed -n 's/^\\(GIT_[A-Z_]*\\)=.*/\\1/p'); do\n"
        head += "  case $name in GIT_CONFIG_*) ;; *) unset $name;; esac\ndone\n"
        head += f"PATH='{Path(self._git).parent}':$PATH\n"
        (self._folder / "at" / name).write_text(head + script)


_WRAPPER = """#!/bin/sh
if [ -z "$AMLTOOL_TESTS_INSIDE" ]; then
    export AMLTOOL_TESTS_INSIDE=1
    for word; do case $word in -c|*=*) ;; *) break;; esac; done
    exec 9>>'{folder}/lock'; flock 9
    printf x >> '{folder}/calls'
    for name in "$(wc -c < '{folder}/calls')" "$word"; do
        if [ -f "{folder}/at/$name" ]; then
            mv "{folder}/at/$name" '{folder}/now' && sh '{folder}/now' >> '{folder}/said' 2>&1 9>&-
        fi
    done
    exec 9>&-
fi
unset AMLTOOL_TESTS_INSIDE
exec '{git}' "$@"
"""
