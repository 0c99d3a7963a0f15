"""What the doctor says of machines over SSH, where it takes no machine to see it."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from amltool.commands.doctor_machines import CLOCK_S, findings_of
from amltool.commands.reaching import CheckedTarget, TargetState, _machine, check_root
from amltool.errors import UserError

SOUND: dict[str, Any] = {"free": 5 << 30, "git": "git version 2.39.5", "clock_s": 0.0}


def checked(state: TargetState = TargetState.OK, **more: Any) -> CheckedTarget:
    return CheckedTarget("vm", "remote", "vm.example.org", state, "Python 3.11.2", **more)


def test_a_sound_machine_is_one_finding() -> None:
    (finding,) = findings_of(checked(**SOUND))
    assert (finding.what, finding.level) == ("target vm", "ok")
    assert finding.message == (
        "remote, vm.example.org: reached, host key known, logged in; Python 3.11.2; git version 2.39.5; 5.00 GB free; "
        "clock as here"
    )


def test_what_is_to_be_done_follows_a_whole_sentence() -> None:
    (finding,) = findings_of(checked(TargetState.WARNING, remedy="Make room.", **SOUND))
    assert finding.message.endswith("5.00 GB free; clock as here.")


@pytest.mark.parametrize(("clock_s", "said"), [(90.0, "at least 90 s ahead of"), (-3600.4, "at least 3600 s behind")])
def test_a_clock_that_is_off_is_a_warning(clock_s: float, said: str) -> None:
    machine, clock = findings_of(checked(**{**SOUND, "clock_s": clock_s}))
    assert "clock" not in machine.message
    assert (clock.what, clock.level) == ("target vm: clock", "warning")
    assert said in clock.message


def test_a_clock_that_is_a_little_off_is_none() -> None:
    assert len(list(findings_of(checked(**{**SOUND, "clock_s": CLOCK_S})))) == 1


@pytest.mark.parametrize(("state", "level"), [(TargetState.UNREACHABLE, "warning"), (TargetState.ERROR, "error")])
def test_a_machine_that_is_off_is_a_warning_and_a_broken_one_an_error(state: TargetState, level: str) -> None:
    (finding,) = findings_of(checked(state))
    assert (finding.level, finding.message) == (level, "Python 3.11.2")


class Machine:
    """A machine whose clock is ahead of ours, and which takes a while to answer."""

    name, root = "vm.example.org", "/home/ada/.amltool"

    def __init__(self, ahead_s: float, *, takes_s: float = 0.0, says: str = "1\n\n{}\n") -> None:
        self._ahead_s, self._takes_s, self._says = ahead_s, takes_s, says

    def facts(self) -> Any:
        return SimpleNamespace(python="python3", git=None)

    def run(self, words: list[str], *, timeout_s: float) -> Any:
        time.sleep(self._takes_s)
        said = self._says.format(time.time() + self._ahead_s).encode()
        time.sleep(self._takes_s)
        return SimpleNamespace(stdout=said)


@pytest.mark.parametrize("ahead_s", [100.0, -100.0])
def test_a_clock_is_compared_with_ours(ahead_s: float) -> None:
    found = _machine(Machine(ahead_s))[2]  # type: ignore[arg-type] # as much of a host as is asked
    assert found == pytest.approx(ahead_s, abs=2)


def test_a_slow_answer_is_not_taken_for_a_wrong_clock() -> None:
    assert _machine(Machine(0.0, takes_s=0.1)) == (1, "", 0.0)  # type: ignore[arg-type] # as above


@pytest.mark.parametrize("says", ["", "no number\n\n1\n", "1\n"])
def test_an_answer_that_is_none_says_nothing(says: str) -> None:
    assert _machine(Machine(0.0, says=says)) == (None, None, None)  # type: ignore[arg-type] # as above


def test_a_home_that_cannot_be_written_is_said() -> None:
    with pytest.raises(UserError, match="You may not write /home/ada on vm"):
        check_root(Machine(0.0, says="1\n\n{}\n/home/ada\n"))  # type: ignore[arg-type] # as above
