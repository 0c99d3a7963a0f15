"""What a run came to, as the history has it."""

from __future__ import annotations

import os

import amltool
from amltool.configuration.secrets import as_recorded
from amltool.history.journal import RunRequest, RunState
from amltool.run import NO_REASON, RunRecord, RunStatus, SettingsUsed, encoded_arguments


def record_of(request: RunRequest, state: RunState) -> RunRecord:
    """The record of a run from what was asked for and what became of it."""
    return RunRecord(
        run_id=request.run_id,
        run_number=request.run_number,
        status=final_status(state),
        exit_code=state.end.exit_code,
        signal=state.end.signal,
        reason=state.end.reason,
        script=request.script,
        **encoded_arguments([os.fsdecode(argument) for argument in request.arguments]),  # type: ignore[arg-type]
        run_configuration=request.run_configuration,
        target=request.target,
        target_type=request.target_type,
        host=state.host,
        framework=request.framework,
        project=request.project,
        run_configuration_content=request.run_configuration_content,
        environment_variables=as_recorded(request.environment_variables),
        compute=request.compute_effect,
        settings=SettingsUsed(
            timeout_s=request.timeout_s,
            max_artifact_size=request.max_artifact_size,
            profile=request.profile,
            share_hash=request.share_hash,
            prepare=request.prepare,
            artifact_store=request.artifact_store,
        ),
        commit=request.commit,
        tree=request.tree,
        base_commit=request.base_commit,
        dirty=request.dirty,
        source_directory=request.source_directory,
        created=request.created,
        started=state.end.started,
        ended=state.end.ended,
        duration_s=state.end.duration_s,
        user=request.user,
        metrics=state.metrics,
        parameters=state.parameters,
        tags=state.tags,
        artifacts=state.artifacts,
        inputs=[each.to_record() for each in request.inputs],
        omitted=state.omitted,
        shared_folder=state.shared_folder,
        environment=state.environment,
        peak_memory=state.end.peak_memory,
        left_behind=state.left_behind,
        application_id=state.application_id,
        rerun_of=request.rerun_of,
        sweep_id=request.sweep_id,
        amltool=amltool.__version__,
    )


def final_status(state: RunState) -> RunStatus:
    """The status of a run that ended: canceled when a cancel ended it; completed only with exit code 0 and without a
    reason, for a script that was ended (by its time limit, say) may leave with 0 all the same."""
    if state.end.canceled:
        return RunStatus.CANCELED
    is_whole = state.end.exit_code == 0 and state.end.reason in NO_REASON
    return RunStatus.COMPLETED if is_whole else RunStatus.FAILED
