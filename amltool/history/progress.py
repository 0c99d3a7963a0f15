"""The progress of a run that is not in the history yet, as a row of values for people and for other clones."""

from __future__ import annotations

import os
from typing import Any

from amltool.files import safe_text
from amltool.history.journal import RunRequest, RunState


def row_of(request: RunRequest, state: RunState) -> dict[str, Any]:
    """The row of a run, from its journal (docs/history-format.md)."""
    return {
        "run_id": request.run_id,
        "run_number": request.run_number,
        "status": state.status,
        "since": state.since or request.created,
        "waits_for": state.waits_for or None,
        "script": request.script,
        "arguments": [safe_text(os.fsdecode(argument)) for argument in request.arguments],
        "run_configuration": request.run_configuration,
        "target": request.target,
        "target_type": request.target_type,
        "host": state.host,
        "commit": request.commit,
        "base_commit": request.base_commit,
        "dirty": request.dirty,
        "source_directory": request.source_directory,
        "created": request.created,
        "started": state.launched,
        "user": request.user,
        "rerun_of": request.rerun_of,
    }
