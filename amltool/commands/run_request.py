"""The request of a run: what a user asks for, settled with the project's configuration and the snapshot."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from amltool.commands.inputs import profile_of, recorded, say_changed_target, storage_variables, variables_of
from amltool.commands.storing import check_store, store_address
from amltool.configuration.choosing import Chosen, choose
from amltool.configuration.compute import ComputeTarget, effect_of, write_compute
from amltool.configuration.folder import FOLDER, LARGEST, Files, too_large, working_files
from amltool.configuration.runconfig import command_of
from amltool.errors import UserError
from amltool.git.command import ObjectReader, OversizedError, tree_names
from amltool.history.journal import RunRequest
from amltool.history.numbers import next_run_number
from amltool.launchers.base import Expected
from amltool.layout import HostLayout
from amltool.run import new_run_id, timestamp
from amltool.snapshot import EXECUTABLE_MODE, Snapshot
from amltool.targets import open_target
from amltool.targets.drive import Target, labels_of
from amltool.targets.placing import project_key

if TYPE_CHECKING:
    from amltool.commands.opening import Opened
    from amltool.commands.submit import Submission
    from amltool.run_input import RunInput
    from amltool.targets.watcher import Watcher

SCRIPT_MISSING = "{} script path doesn't exist. The script should be inside the project folder"
"""The ancestor's words (WORKBENCH 2.3)."""


def request_of(opened: Opened, wanted: Submission, snapshot: Snapshot, watcher: Watcher) -> tuple[RunRequest, Target]:
    """Give the request of a run, and its target, which gets ready meanwhile.

    Raises:
        UserError: the configuration, the script or the store do not allow the run; nothing was started.
    """
    settings = opened.project.settings
    chosen = choose_configuration(opened, wanted, snapshot.commit)
    for warning in (*chosen.run_configuration.warnings, *chosen.compute.warnings):
        watcher.say(warning)
    configuration = chosen.run_configuration
    script, arguments = command_of(configuration, wanted.script, wanted.arguments, settings.script)
    script = script_in_snapshot(opened, script, snapshot)
    address = store_address(opened, chosen.compute)
    check_store(opened, address)
    inputs = _inputs(opened, wanted)
    target, run_id = open_target(chosen.compute, opened.names, opened.git.top), new_run_id(snapshot.commit)
    key = project_key(opened.git, opened.prefix)
    labels = labels_of(run_id, snapshot.commit, opened.names.name, key)
    folder = HostLayout(target.host.root).run(run_id)
    target.launcher.get_ready(target.host, Expected(run_id=run_id, folder=folder, labels=labels))
    timeout_s = wanted.timeout_s if wanted.timeout_s is not None else configuration.max_run_duration_seconds
    compute = _settled(chosen.compute, target)
    effect = effect_of(compute)
    say_changed_target(wanted, chosen.compute.name, effect, watcher)
    request = RunRequest(
        run_id=run_id,
        # a lambda, for the history is loaded only when it is asked
        run_number=next_run_number(opened.git, lambda: opened.history.highest_run_number()),  # noqa: PLW0108
        created=timestamp(),
        user=opened.user,
        project=opened.names,
        prefix=opened.prefix,
        source_directory=snapshot.source_directory,
        profile=profile_of(wanted, opened.profile).value,
        commit=snapshot.commit,
        tree=snapshot.tree,
        base_commit=wanted.base_commit or snapshot.base_commit,
        dirty=snapshot.commit != (wanted.base_commit or snapshot.base_commit),
        script=script,
        command=[os.fsencode(part) for part in (script, *arguments)],
        interpreted=is_interpreted(script, snapshot),
        arguments=[os.fsencode(argument) for argument in arguments],
        run_configuration=configuration.name,
        run_configuration_content=dict(configuration.content),
        environment_variables=variables_of(wanted, chosen, storage_variables(settings)),
        framework=configuration.framework.value,
        conda_dependencies_file=configuration.conda_dependencies_file,
        spark_dependencies_file=configuration.spark_dependencies_file,
        target=chosen.compute.name,
        target_type=chosen.compute.type.value,
        compute=write_compute(compute),
        compute_effect=effect,
        max_artifact_size=recorded(wanted, "max_artifact_size", settings.max_artifact_size),
        artifact_store=address,
        timeout_s=timeout_s,
        share_hash=recorded(wanted, "share_hash", settings.share_hash),
        keep_run_folders=settings.keep_run_folders,
        prepare=wanted.prepare or configuration.prepare_environment,
        inputs=inputs,
        rerun_of=wanted.rerun_of,
        tolerances=wanted.tolerances,
        sweep_id=wanted.sweep_id,
        tracked=configuration.tracked_run if wanted.tracked is None else wanted.tracked,
    )
    target.check(request)
    return request, target


def _inputs(opened: Opened, wanted: Submission) -> list[RunInput]:
    if not wanted.inputs:
        return list(wanted.found_inputs)
    from amltool.commands.lineage import find_inputs

    return find_inputs(opened, wanted.inputs)


def _settled(compute: ComputeTarget, target: Target) -> ComputeTarget:
    """The compute target with its folders as they are now: a later command may have another home folder."""
    share = compute.native_shared_directory if target.share is None else f"{target.share.parents[2]}/"
    return msgspec.structs.replace(compute, root=str(target.host.root), native_shared_directory=share)


def choose_configuration(opened: Opened, wanted: Submission, commit: str) -> Chosen:
    """The run configuration of the commit and the compute target of the working folder that a user means.

    A ``.compute`` that is not in the working folder any more is taken from the commit.

    Raises:
        UserError: what is named is not there, several could be meant, or a file has mistakes.
    """
    working = working_files(opened.project.root)
    with opened.git.objects() as objects:
        committed = _committed_files(objects, commit, opened.prefix)

        def read(path: str) -> bytes | None:
            content = working.read(path)
            return committed.read(path) if content is None else content

        both = Files(read, lambda: sorted({*working.names(), *committed.names()}))
        return choose(committed, both, target=wanted.target, run_configuration=wanted.run_configuration)


def _committed_files(objects: ObjectReader, commit: str, prefix: str) -> Files:
    """The project's configuration as it stands in a commit, read through one Git process."""

    def read(path: str) -> bytes | None:
        try:
            found = objects.read(f"{commit}:{posixpath.join(prefix, path)}", LARGEST)
        except OversizedError:
            raise too_large(path, LARGEST) from None
        return found[1] if found is not None and found[0] == "blob" else None

    def names() -> list[str]:
        found = objects.read(f"{commit}:{posixpath.join(prefix, FOLDER)}")
        return tree_names(found[1], len(commit)) if found is not None and found[0] == "tree" else []

    return Files(read, names)


def script_in_snapshot(opened: Opened, script: str, snapshot: Snapshot) -> str:
    """The script's path in the snapshot; a user may name it from the folder they stand in.

    Raises:
        UserError: it is not in the snapshot; says whether it is outside, missing, or left out by the ignore file.
    """
    root = opened.project.root / snapshot.source_directory
    known = {file.path for file in snapshot.files}
    given = Path(script)
    if script in known:
        return script
    for place in (given if given.is_absolute() else Path.cwd() / given, root / given):
        path = Path(os.path.normpath(place))
        if not path.is_relative_to(root):
            continue
        inside = path.relative_to(root).as_posix()
        if inside in known:
            return inside
        if _is_file(path):
            raise UserError(
                f"{inside} is not in the snapshot: {snapshot.ignore_file or 'Git'} leaves it out, or no commit has it.",
                "Change the ignore file, or commit the script.",
            )
    import difflib

    near = difflib.get_close_matches(script, sorted(known), 1)
    raise UserError(
        SCRIPT_MISSING.format(script),
        f"Did you mean {near[0]}?" if near else "Name a file that `amltool check --list` shows.",
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system takes
        return False


def is_interpreted(script: str, snapshot: Snapshot) -> bool:
    """Say if Python runs the script; an executable file that is no ``.py`` runs as itself (``./run.sh``)."""
    mode = next(file.mode for file in snapshot.files if file.path == script)
    return script.endswith(".py") or mode != EXECUTABLE_MODE
