"""The limits as the checks apply them: those of the settings, what the command line says instead, and single files."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import nlargest

import msgspec

from amltool.limits import (
    LISTED,
    Level,
    Limits,
    Problem,
    Profile,
    format_size,
    ignore_files_to_change,
    ignore_line,
    shown,
    untrack_command,
)


class LimitArguments(msgspec.Struct, frozen=True):
    """What the command line says about limits: bytes and a count; ``None`` where it says nothing."""

    warn_size: int | None = None
    max_size: int | None = None
    max_files: int | None = None
    max_file_size: int | None = None
    profile: Profile | None = None

    def over(self, limits: Limits) -> Limits:
        """These over the limits of the settings; a new profile's limits give way to what the settings say apart."""
        usual = Limits.of(limits.profile)
        profile = limits.profile if self.profile is None else self.profile
        basis = Limits.of(profile)

        def settled(given: int | None, written: int | None, default: int | None, new: int | None) -> int | None:
            if given is not None:
                return given
            return new if written == default else written

        return Limits(
            settled(self.warn_size, limits.warn_size, usual.warn_size, basis.warn_size) or 0,
            settled(self.max_size, limits.max_size, usual.max_size, basis.max_size) or 0,
            settled(self.max_files, limits.max_files, usual.max_files, basis.max_files),
            profile,
        )


def file_problems(sizes: Mapping[str, int], max_file_size: int | None, ignore_file: str | None) -> list[Problem]:
    """The files of a snapshot that are each over ``max_file_size`` bytes (a setting; ``None``: any size will do)."""
    if max_file_size is None:
        return []
    over = [(path, size) for path, size in sizes.items() if size > max_file_size]
    if not over:
        return []
    heaviest = nlargest(LISTED, over, key=lambda each: each[1])
    rows = [
        f"  {format_size(size):>10}  {shown(path)} ({format_size(size - max_file_size)} too much)"
        for path, size in heaviest
    ]
    more = [f"  and {len(over) - len(heaviest):,} more"] if len(over) > len(heaviest) else []
    paths = [path for path, _ in heaviest]
    lines = "\n".join(f"     {ignore_line(path)}" for path in paths)
    files = ignore_files_to_change(ignore_file)
    return [
        Problem(
            "file-size",
            Level.ERROR,
            f"{len(over):,} file{' is' if len(over) == 1 else 's are'} over {format_size(max_file_size)}:\n"
            + "\n".join(rows + more),
            f"Do one of these:\n  1. Leave out what a run does not need: add to {files}\n\n"
            f"{lines}\n\n"
            f"     and take it out of Git's index:\n\n     {untrack_command(paths)}\n\n"
            f'  2. Raise the limit: max_file_size = "{-(-heaviest[0][1] // (1 << 20))} MB" in [tool.amltool] of '
            "pyproject.toml, or in aml_config/project.yml.",
        )
    ]
