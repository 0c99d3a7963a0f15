"""Find the project a command works on: its repository, its folder in it, its settings."""

from __future__ import annotations

import getpass
import os
import subprocess
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from amltool.errors import UserError
from amltool.git.command import Git
from amltool.history.journal import Journal
from amltool.limits import Profile
from amltool.project import Project, find_project_root, load_project
from amltool.run import ProjectNames

if TYPE_CHECKING:
    from amltool.configuration.compute import ComputeTarget
    from amltool.history.history import History


class Opened(msgspec.Struct, frozen=True, dict=True):
    """A project on this machine and the repository it lies in; ``prefix`` is its folder there (``""`` at the top)."""

    git: Git
    project: Project
    prefix: str

    @cached_property
    def history(self) -> History:
        from amltool.history.history import History

        return History(self.git)

    @cached_property
    def journal(self) -> Journal:
        return Journal(self.git.layout)

    @property
    def profile(self) -> Profile:
        return self.project.settings.limits.profile

    @cached_property
    def names(self) -> ProjectNames:
        names = self.project.names
        return ProjectNames(names.account, names.workspace, names.name, self.prefix or ".")

    @cached_property
    def _asked_for_user(self) -> subprocess.Popen[bytes]:
        return self.git.start("config", "--get-regexp", r"^user\.(name|email)$")

    def ask_for_user(self) -> None:
        """Have Git look for the user's name while something else is done; `user` is its answer."""
        _ = self._asked_for_user

    @cached_property
    def user(self) -> str:
        """``Name <email>`` as Git is configured, else the login name."""
        content, _ = self._asked_for_user.communicate()
        found = dict(line.split(" ", 1) for line in os.fsdecode(content).splitlines() if " " in line)
        name, email = found.get("user.name", ""), found.get("user.email", "")
        if name or email:
            return f"{name} <{email}>" if email else name
        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return ""


def open_project(folder: Path | None = None) -> Opened:
    """Open the project a folder (the current one by default) lies in.

    Raises:
        UserError: there is no repository with a work tree here, or the project's settings cannot be read.
    """
    start = (folder or Path.cwd()).absolute()
    git = Git.at(start)
    root = find_project_root(start.resolve(), git.top)
    prefix = root.relative_to(git.top).as_posix()
    return Opened(git, load_project(root), "" if prefix == "." else prefix)


def read_computes(root: Path, name: str | None) -> list[ComputeTarget]:
    """Every compute target of a project's working folder, or the one of a name; `survey_computes` passes bad ones over.

    Raises:
        UserError: there is none of that name, or one has mistakes.
    """
    from amltool.configuration.choosing import find_compute, list_compute_targets
    from amltool.configuration.folder import working_files

    files = working_files(root)
    names = list_compute_targets(files) if name is None else [name]
    return [find_compute(files, each) for each in names]


def survey_computes(root: Path) -> tuple[list[ComputeTarget], dict[str, UserError]]:
    """Every compute target of a project's working folder that can be read; by name, what is wrong with the others."""
    from amltool.configuration.choosing import list_compute_targets
    from amltool.configuration.folder import working_files

    good: list[ComputeTarget] = []
    bad: dict[str, UserError] = {}
    for name in list_compute_targets(working_files(root)):
        try:
            good += read_computes(root, name)
        except UserError as error:
            bad[name] = error
    return good, bad


def open_repository(folder: Path | None = None) -> tuple[Path, Path]:
    """The top of the repository a folder lies in, and the folder itself: what `init` makes a project of."""
    start = (folder or Path.cwd()).absolute()
    return Git.at(start).top, start.resolve()
