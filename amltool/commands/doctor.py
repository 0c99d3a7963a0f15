"""Doctor: what works here, and how to mend what does not."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import amltool
from amltool.commands.opening import open_project
from amltool.errors import UserError
from amltool.git.command import Git
from amltool.git.trees import borrowed

if TYPE_CHECKING:
    from amltool.commands.opening import Opened
    from amltool.configuration.compute import ComputeTarget


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: level ``ok``, ``warning`` or ``error``, and the remedy where there is one."""

    what: str
    level: str
    message: str
    remedy: str = ""


def examine(folder: Path) -> list[Finding]:
    """Look at Git, Python, the project, its targets and store, and at what optional parts need."""
    findings = [Finding("amltool", "ok", f"{amltool.__version__} on Python {sys.version.split()[0]}"), _git()]
    findings += _project(folder)
    return findings


def _git() -> Finding:
    if shutil.which("git") is None:
        return Finding("git", "error", "Git was not found.", "Install git and see that it is on PATH.")
    import subprocess

    version = subprocess.run(["git", "version"], capture_output=True, text=True).stdout.strip()
    parts = version.removeprefix("git version ").split(".")
    if [int(part) for part in parts[:2] if part.isdigit()] < [2, 36]:
        return Finding("git", "error", f"{version} is too old.", "amltool needs 2.36 (core.fsync) or newer.")
    return Finding("git", "ok", version)


def _project(folder: Path) -> list[Finding]:
    try:
        git = Git.at(folder)
        opened = open_project(folder)
    except UserError as error:
        return [Finding("project", "error", error.what, error.remedy)]
    findings = []
    if git.head is None:
        remedy = 'Make one: git add -A && git commit -m "first"'
        findings.append(Finding("commit", "error", "This repository has no commit yet.", remedy))
    if not opened.project.has_aml_config:
        findings.append(Finding("project", "error", "There is no aml_config folder.", "Make one: amltool init"))
    else:
        findings.append(Finding("project", "ok", f"{opened.project.root}"))
        findings += _targets(opened)
        findings += _places(opened)
    findings.append(_writable("journal and store", git.layout.folder))
    findings += [Finding("objects", "warning", sentence) for sentence in borrowed(git)]
    return findings


def _targets(opened: Opened) -> list[Finding]:
    from amltool.commands.opening import survey_computes
    from amltool.commands.reaching import begin_checks

    try:
        computes, bad = survey_computes(opened.project.root)
    except UserError as error:
        return [Finding("targets", "error", error.what, error.remedy)]
    # they answer, or do not, while this machine is looked at
    answers = begin_checks(opened, {compute.name for compute in computes if compute.over_ssh})
    findings = []
    for compute in computes:
        if not compute.over_ssh:
            here = interpreter_of(compute, opened.git.top) or docker_of(compute)
            findings.append(here or Finding(f"target {compute.name}", "ok", compute.type.value))
    if len(findings) < len(computes):
        from amltool.commands.doctor_machines import findings_of

        findings += [finding for checked in answers() for finding in findings_of(checked)]
    return findings + [Finding(f"target {name}", "error", error.what, error.remedy) for name, error in bad.items()]


def _places(opened: Opened) -> Iterator[Finding]:
    """The stores, and what keeps runs from being kept or started here; an extra is said with its target."""
    from amltool.commands.checks.places import EXTRA, STORE, place_problems

    problems = [problem for problem in place_problems(opened) if problem.id != EXTRA]
    if not any(problem.id == STORE for problem in problems):
        yield Finding("artifact store", "ok", opened.project.settings.artifact_store or "in the clone's Git folder")
    for problem in problems:
        yield Finding("artifact store" if problem.id == STORE else "folder", "error", problem.message, problem.remedy)


def docker_of(compute: ComputeTarget) -> Finding | None:
    """Whether Docker answers on this machine and has the base image; ``None`` for a target that is not in it."""
    from amltool.configuration.compute import ComputeType, default_base_image

    if compute.type is not ComputeType.LOCAL_DOCKER:
        return None
    from amltool.containers.daemon import DockerDaemon
    from amltool.hosts.local import LocalHost

    name = f"target {compute.name}"
    base = compute.base_docker_image or default_base_image()
    try:
        daemon = DockerDaemon(LocalHost())
        version = daemon.version()
        there = daemon.image(base) is not None
    except UserError as error:
        return Finding(name, "warning", error.what, error.remedy)
    how = f"with {base}" if there else f"{base} is not here yet: the first run, or amltool prepare, fetches it"
    return Finding(name, "ok", f"{compute.type.value}, Docker {version}, {how}")


def interpreter_of(compute: ComputeTarget, top: Path) -> Finding | None:
    """The interpreter a run on this machine would use, or why there is none; ``None`` for a target that uses none.

    A file of the repository at ``top`` is not run: who looks at a clone has not decided to trust it.
    """
    from amltool.configuration.compute import ComputeType
    from amltool.environments.interpreter import find_foreign_interpreter, find_interpreter, is_script

    if compute.type is not ComputeType.LOCAL or not compute.user_managed_environment:
        return None
    search_path = os.environ.get("PATH")
    try:
        foreign = find_foreign_interpreter(compute.python_location, search_path, top)
        if foreign is not None and is_script(foreign):
            said = f"{foreign} is there and was not run, for it is a script that this repository names; submit runs it"
            return Finding(f"target {compute.name}", "ok", f"{compute.type.value}: {said}")
        found = find_interpreter(compute.python_location, search_path)
    except UserError as error:
        return Finding(f"target {compute.name}", "error", error.what, error.remedy)
    return Finding(f"target {compute.name}", "ok", f"{compute.type.value}, with {found}")


def _writable(what: str, folder: Path) -> Finding:
    existing = folder if folder.exists() else folder.parent
    if not os.access(existing, os.W_OK):
        return Finding(what, "error", f"{existing} cannot be written.", "Change its permissions or owner.")
    free = shutil.disk_usage(existing).free
    if free < 1 << 30:
        return Finding(what, "warning", f"{existing} has less than 1 GB free.", "Free some space.")
    return Finding(what, "ok", str(folder))
