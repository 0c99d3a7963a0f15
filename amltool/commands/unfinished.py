"""What is known of a run that is not in the history yet: where it stands, and what it waits for."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from amltool.commands.drivers import stopped_driver
from amltool.configuration.compute import read_compute
from amltool.errors import UserError
from amltool.history.journal import JournalEntry, RunRequest, RunState, Step
from amltool.history.progress import row_of
from amltool.run import RunStatus

NEXT = {
    Step.REQUESTED: "its execution environment",
    Step.PREPARED: "its snapshot to be placed",
    Step.PLACED: "its start",
    Step.ENDED: "its outputs and logs to be collected",
    Step.COLLECTED: "its record",
    Step.RECORDED: "its folder to be freed",
}
"""What a run whose driver is at work waits for after each step; one that runs waits for nothing of ours."""
BEFORE_LAUNCH = (Step.REQUESTED, Step.PREPARED, Step.PLACED)


def unfinished_row(entry: JournalEntry, trouble: str = "") -> dict[str, Any]:
    """What is known here of an unfinished run (docs/history-format.md); a damaged entry is a row that says so.

    ``trouble`` is why we could not look at it where it runs. Nothing is asked of its machine.
    """
    try:
        request, state = entry.request(), entry.state()
        # its driver would find the lock taken for a moment: only where it matters
        driven = (state.step is not Step.LAUNCHED or bool(state.waits_for)) and entry.is_driven()
    except (UserError, OSError) as error:
        return {
            "run_id": entry.run_id, "run_number": None, "status": RunStatus.NOT_STARTED, "script": "",
            "target": "", "note": str(error).replace("\n", " "),
        }  # fmt: skip
    return {
        **row_of(request, state),
        "status": _status(state, driven=driven),
        "waits_for": trouble or _waits_for(state, driven=driven, canceled=entry.cancel_asked),
        "host": state.host or _machine(request),
        "cancel_asked": entry.cancel_asked,
        "logs": f"amltool logs -f {request.run_id}",
        "note": _note(entry, state, driven=driven),
    }


def _status(state: RunState, *, driven: bool) -> RunStatus:
    """The journal says what is done: the first step is under way before that."""
    if state.status is RunStatus.NOT_STARTED and driven:
        return RunStatus.PREPARING
    return state.status


def _waits_for(state: RunState, *, driven: bool, canceled: bool) -> str | None:
    if driven and state.waits_for:  # what a driver that died waited for says nothing
        return state.waits_for
    if state.step is Step.LAUNCHED:
        return "its end: a cancel is asked for" if canceled else None
    return NEXT[state.step] if driven else None


def _note(entry: JournalEntry, state: RunState, *, driven: bool) -> str:
    """A word for people where the driver of a run died before it was launched, or is stopped."""
    is_interrupted = state.step in BEFORE_LAUNCH and not driven
    stopped = None if is_interrupted else stopped_driver(entry)
    if stopped is not None:
        return f"driven by {stopped}. {stopped.remedy}"
    return f"interrupted; go on with: amltool wait {entry.run_id}" if is_interrupted else ""


def _machine(request: RunRequest) -> str:
    """The machine a run is for, as its compute target has it; empty where that cannot be read."""
    with contextlib.suppress(UserError):
        compute = read_compute(request.target, request.compute.encode(), f"aml_config/{request.target}.compute")
        return compute.address or os.uname().nodename
    return ""
