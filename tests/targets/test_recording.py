"""How a run that ended is recorded."""

from __future__ import annotations

import pytest

from amltool.history.journal import RunState
from amltool.launchers.container_end import STOPPED
from amltool.run import ENDED_FIRST, Exit, RunStatus
from amltool.targets.canceling import FROM_OUTSIDE, GONE
from amltool.targets.recording import final_status

REASONS = ("time-out after 2 s", STOPPED, "out of memory", "the end of the console is missing: the disk is full",
           "host restarted", GONE, "the bootstrap failed: OSError")  # fmt: skip


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("code", [0, 3, None])
def test_an_end_with_a_reason_is_never_completed(reason: str, code: int | None) -> None:
    assert final_status(RunState(end=Exit(exit_code=code, reason=reason))) is RunStatus.FAILED


@pytest.mark.parametrize("reason", [None, "", ENDED_FIRST])
def test_only_a_run_that_ended_by_itself_with_0_is_completed(reason: str | None) -> None:
    assert final_status(RunState(end=Exit(exit_code=0, reason=reason))) is RunStatus.COMPLETED
    assert final_status(RunState(end=Exit(exit_code=1, reason=reason))) is RunStatus.FAILED
    assert final_status(RunState(end=Exit(signal="SIGKILL", reason=reason))) is RunStatus.FAILED


def test_one_that_a_cancel_ended_is_canceled_however_it_left() -> None:
    assert final_status(RunState(end=Exit(exit_code=0, canceled=True, reason=FROM_OUTSIDE))) is RunStatus.CANCELED
