"""What the doctor says of machines over SSH."""

from __future__ import annotations

from collections.abc import Iterator

from amltool.commands.doctor import Finding
from amltool.commands.reaching import CheckedTarget, TargetState
from amltool.limits import format_size

CLOCK_S = 5.0
"""A clock that is further off makes the times in a record hard to compare with those of other machines."""
LEVELS = {
    TargetState.OK: "ok",
    TargetState.WARNING: "warning",
    TargetState.UNREACHABLE: "warning",  # a machine that is off is not broken
    TargetState.ERROR: "error",
}


def findings_of(checked: CheckedTarget) -> Iterator[Finding]:
    """One for the machine, and one more for each thing there that is worth mending."""
    name = f"target {checked.name}"
    where = f"{checked.type}, {checked.address}" if checked.address else str(checked.type)
    if not checked.usable or checked.git is None:
        yield Finding(name, LEVELS[checked.state], checked.message, checked.remedy)
        return
    found = [f"{where}: reached, host key known, logged in", checked.message, checked.git or "no git"]
    if checked.free is not None:
        found.append(f"{format_size(checked.free)} free")
    clock_s = checked.clock_s or 0.0
    if abs(clock_s) <= CLOCK_S:
        found.append("clock as here")
    said = "; ".join(words.rstrip(".") for words in found) + "." * bool(checked.remedy)
    yield Finding(name, LEVELS[checked.state], said, checked.remedy)
    if not checked.git:
        what = f"There is no git on {checked.address}: a changed file is sent whole, not what changed in it."
        yield Finding(f"{name}: git", "warning", what, "Install it there (Debian, Ubuntu: sudo apt-get install git).")
    if abs(clock_s) > CLOCK_S:
        way = "ahead of" if clock_s > 0 else "behind"
        what = f"The clock of {checked.address} is at least {abs(clock_s):.0f} s {way} this machine's."
        yield Finding(f"{name}: clock", "warning", what, "Set it there, best by NTP (timedatectl set-ntp true).")
