"""What a snapshot weighs, what it may weigh, and what to do when it weighs too much (DESIGN 4, WORKBENCH 4).

One engine for the hook, ``check``, ``submit`` and CI: the same answer everywhere. Pure: files in as (path, bytes).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from heapq import nlargest
from operator import attrgetter, itemgetter

import msgspec

from amltool.errors import UserError
from amltool.files import safe_text

MB = 1024 * 1024
UNITS = {"": 1, "B": 1, "K": 1024, "M": MB, "G": 1024 * MB, "T": 1024 * 1024 * MB}
LISTED = 10
"""How many of the heaviest files, and of the heaviest folders, are named."""

LARGE_FILES_PAGE = "Please see http://aka.ms/aml-largefiles on how to work with large files."


class Profile(str, Enum):
    """Whose limits: ``sdk`` is azureml-core of 2019 (the default), ``workbench`` Azure ML Workbench of 2017."""

    SDK = "sdk"
    WORKBENCH = "workbench"


class Limits(msgspec.Struct, frozen=True):
    """Sizes in bytes; a snapshot is refused (or warned of) only when greater. ``max_files`` ``None``: no limit."""

    warn_size: int = 25 * MB
    max_size: int = 300 * MB
    max_files: int | None = 2000
    profile: Profile = Profile.SDK

    @classmethod
    def of(cls, profile: Profile) -> Limits:
        """The limits of a profile. Source: azureml-core 1.61 ``SNAPSHOT_MAX_SIZE_BYTES``, ``_num_max_mbs`` of 2017."""
        if profile is Profile.WORKBENCH:
            return cls(max_size=25 * MB, max_files=None, profile=profile)
        return cls()


class Entry(msgspec.Struct, frozen=True):
    """A file, or a folder with all it holds: bytes and files."""

    path: str
    size: int
    files: int
    is_folder: bool = False


class Weight(msgspec.Struct, frozen=True):
    """What a snapshot weighs in bytes and files, and its heaviest parts, heaviest first, at most `LISTED` each.

    Of folders that hold nothing but one another only the innermost is listed.
    """

    size: int
    files: int
    heaviest_files: tuple[Entry, ...]
    heaviest_folders: tuple[Entry, ...]
    fullest_folders: tuple[Entry, ...]


class Level(str, Enum):
    """An error refuses the snapshot; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


class Problem(msgspec.Struct, frozen=True):
    """One limit that is passed: what happened with its offenders, and what to do, both ready to print."""

    id: str
    level: Level
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.message}\n\n{self.remedy}" if self.level is Level.ERROR else f"{self.message}\n{self.remedy}"


class LimitsExceededError(UserError):
    """The snapshot is over a limit; ``problems`` holds every limit that it is over."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        errors = [problem for problem in self.problems if problem.level is Level.ERROR]
        super().__init__(
            "\n\n".join(problem.message for problem in errors), "\n" + "\n\n".join(problem.remedy for problem in errors)
        )


def parse_size(value: str | int) -> int:
    """Bytes of ``26214400``, ``"25 MB"``, ``"1.5GB"`` or ``"512 KiB"``; every unit counts in 1024.

    Raises:
        UserError: it is not a size, or is below zero.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = isinstance(value, str) and re.fullmatch(
        r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([KMGT]?)I?B?\s*", value, re.IGNORECASE | re.ASCII
    )
    if not found:
        raise UserError(f"{value!r} is not a size.", 'Write bytes, or a number with KB, MB or GB, such as "25 MB".')
    return round(float(found[1]) * UNITS[found[2].upper()])


def format_size(size: int) -> str:
    """A size for people: ``812 bytes``, ``1.50 KB``, ``37.31 MB``, ``2.00 GB``."""
    for unit in ("G", "M", "K"):
        if size >= UNITS[unit]:
            return f"{size / UNITS[unit]:.2f} {unit}B"
    return f"{size} byte{'' if size == 1 else 's'}"


class Spare(msgspec.Struct, frozen=True):
    """The parts of a snapshot that a run may do without, for advice; ``elsewhere`` are folders of submodules."""

    weight: Weight
    elsewhere: tuple[str, ...] = ()

    def is_elsewhere(self, path: str) -> bool:
        """Whether another repository has a path: taking it out of this one's index is no use."""
        return any(path == folder or path.startswith(f"{folder}/") for folder in self.elsewhere)


def weigh_spare(sizes: Mapping[str, int], needed: Collection[str], elsewhere: Iterable[str] = ()) -> Spare:
    """What is left of a snapshot without the files and folders that a run needs, and without folders that hold any."""
    tops = {path for path in needed if "/" not in path}
    spare = [(path, size) for path, size in sizes.items() if path not in needed and path.partition("/")[0] not in tops]
    holding = {path[:end] for path in needed for end, letter in enumerate(path) if letter == "/"}
    return Spare(weigh(spare, holding), tuple(elsewhere))


def weigh(files: Iterable[tuple[str, int]], unlisted: Collection[str] = ()) -> Weight:
    """Weigh the files of a snapshot, given as (path with ``/``, bytes), in one pass.

    The folders ``unlisted`` are not listed as heavy.
    """
    entries = list(files)
    direct: dict[str, list[int]] = {}
    last, sums = None, [0, 0]
    for path, size in entries:
        above = path.rpartition("/")[0]
        if above != last:
            last, sums = above, direct.setdefault(above, [0, 0])
        sums[0] += size
        sums[1] += 1
    totals = _with_all_they_hold(direct)
    folders = _innermost({folder: sums for folder, sums in totals.items() if folder not in unlisted})
    return Weight(
        size=sum(size for size, _ in direct.values()),
        files=len(entries),
        heaviest_files=tuple(Entry(path, size, 1) for path, size in nlargest(LISTED, entries, key=itemgetter(1))),
        heaviest_folders=tuple(nlargest(LISTED, folders, key=attrgetter("size"))),
        fullest_folders=tuple(nlargest(LISTED, folders, key=attrgetter("files"))),
    )


def _with_all_they_hold(direct: dict[str, list[int]]) -> dict[str, list[int]]:
    totals: dict[str, list[int]] = {}
    for innermost, (size, count) in direct.items():
        folder = innermost
        while folder:
            sums = totals.setdefault(folder, [0, 0])
            sums[0] += size
            sums[1] += count
            folder = folder.rpartition("/")[0]
    return totals


def _innermost(totals: dict[str, list[int]]) -> list[Entry]:
    wrappers = set()
    for folder, (_, count) in totals.items():
        above = folder.rpartition("/")[0]
        if above and totals[above][1] == count:
            wrappers.add(above)
    return [
        Entry(folder, size, count, is_folder=True)
        for folder, (size, count) in sorted(totals.items())
        if folder not in wrappers
    ]


def judge(
    weight: Weight, limits: Limits, where: str, ignore_file: str | None = None, spare: Spare | None = None
) -> tuple[Problem, ...]:
    """Every limit that a snapshot passes: size first, then files, as the ancestor.

    ``where`` is the snapshot's root as the user knows it; ``ignore_file`` the name of the one that rules; ``spare``
    what the advice may name (everything, by default). The messages begin with the ancestor's sentences (WORKBENCH 4.1
    and 4.2), without its rows of 68 ``=``.
    """
    problems: list[Problem] = []
    spare = spare or Spare(weight)
    if weight.size > limits.max_size:
        problems.append(_too_heavy(weight, limits, where, ignore_file, spare))
    elif weight.size > limits.warn_size:
        problems.append(_heavy(weight, limits, ignore_file))
    if limits.max_files is not None and weight.files > limits.max_files:
        problems.append(_too_many(weight, limits.max_files, where, ignore_file, spare))
    return tuple(problems)


def require_within(problems: Sequence[Problem]) -> None:
    """Refuse a snapshot that `judge` found over a limit; warnings pass.

    Raises:
        LimitsExceededError: at least one of them is an error.
    """
    if any(problem.level is Level.ERROR for problem in problems):
        raise LimitsExceededError(problems)


def _too_heavy(weight: Weight, limits: Limits, where: str, ignore_file: str | None, spare: Spare) -> Problem:
    excess = weight.size - limits.max_size
    if limits.profile is Profile.WORKBENCH:
        said = (
            f"Error. Your total project size is {weight.size / MB:.2f} MB which exceeds the limit of "
            f"{limits.max_size / MB:g} MB. {LARGE_FILES_PAGE}"
        )
        ignore_file = ".gitignore"
    else:
        said = (
            f"While attempting to take snapshot of {safe_text(where)}\n"
            f"Your total snapshot size exceeds the limit of {limits.max_size / MB} MB.\n{LARGE_FILES_PAGE}"
        )
    facts = f"It weighs {format_size(weight.size)} in {_counted(weight.files)}, {format_size(excess)} too much."
    culprits = _enough(spare.weight.heaviest_files, excess, by_size=True, nearest=False)
    if sum(entry.size for entry in culprits) < excess:
        culprits = _enough(spare.weight.heaviest_folders, excess, by_size=True, nearest=True) or culprits
    message = "\n\n".join(
        (
            said,
            facts,
            *_table("The heaviest files:", weight.heaviest_files),
            *_table("The heaviest folders:", weight.heaviest_folders),
        )
    )
    raised = f'max_size = "{-(-weight.size // MB)} MB"'
    if limits.profile is Profile.WORKBENCH and weight.size <= Limits.of(Profile.SDK).max_size:
        raised += ', or profile = "sdk" (300 MB)'
    return Problem("size", Level.ERROR, message, _remedies(culprits, where, ignore_file, raised, spare))


def _heavy(weight: Weight, limits: Limits, ignore_file: str | None) -> Problem:
    heaviest = ", ".join(f"{shown(entry.path)} ({format_size(entry.size)})" for entry in weight.heaviest_files[:3])
    message = (
        f"Your total snapshot size is {format_size(weight.size)}, more than {limits.warn_size / MB:g} MB; "
        f"it is refused above {limits.max_size / MB:g} MB. Heaviest: {heaviest}."
    )
    name = ignore_file or ".amlignore"
    return Problem(
        "size", Level.WARNING, message, f"Name what a run does not need in {name}, or raise limits.warn_size."
    )


def _too_many(weight: Weight, max_files: int, where: str, ignore_file: str | None, spare: Spare) -> Problem:
    excess = weight.files - max_files
    said = (
        f"While attempting to take snapshot of {safe_text(where)}\nYour project exceeds the file limit of {max_files}."
    )
    facts = f"It has {_counted(weight.files)}, {excess:,} too many."
    table = _table("The folders with the most files:", weight.fullest_folders, by_size=False)
    culprits = _enough(spare.weight.fullest_folders, excess, by_size=False, nearest=True)
    raised = f"max_files = {weight.files}"
    return Problem(
        "files",
        Level.ERROR,
        "\n\n".join((said, facts, *table)),
        _remedies(culprits, where, ignore_file, raised, spare),
    )


def _enough(entries: Sequence[Entry], excess: int, *, by_size: bool, nearest: bool) -> list[Entry]:
    """The fewest offenders that bring a snapshot within its limit, none inside another.

    With ``nearest`` the smallest that is enough alone is preferred: the folder that holds everything is no advice.
    """
    weigh_one = attrgetter("size" if by_size else "files")
    if nearest and (alone := [entry for entry in entries if weigh_one(entry) >= excess]):
        return [min(alone, key=weigh_one)]
    taken: list[Entry] = []
    for entry in entries:
        if sum(weigh_one(one) for one in taken) >= excess:
            break
        inside = any(entry.path.startswith(one.path + "/") or one.path.startswith(entry.path + "/") for one in taken)
        if weigh_one(entry) and not inside:
            taken.append(entry)
    return taken


def _table(title: str, entries: Sequence[Entry], *, by_size: bool = True) -> tuple[str, ...]:
    if not entries:
        return ()
    rows = [(format_size(entry.size) if by_size else _counted(entry.files), _shown_entry(entry)) for entry in entries]
    width = max(len(amount) for amount, _ in rows)
    return ("\n".join([title, *(f"  {amount:>{width}}  {name}" for amount, name in rows)]),)


def _counted(files: int) -> str:
    return f"{files:,} file{'' if files == 1 else 's'}"


def ignore_files_to_change(ignore_file: str | None) -> str:
    """The ignore files that get the line of a file which Git is to forget, where ``ignore_file`` rules.

    ``.gitignore`` among them, always: what is in ``.amlignore`` alone is committed again by the next ``git add -A``.
    """
    return ".gitignore and .amlignore" if ignore_file == ".amlignore" else ".gitignore"


def _remedies(culprits: Sequence[Entry], where: str, ignore_file: str | None, raised: str, spare: Spare) -> str:
    lines = [f"     {ignore_line(entry.path, folder=entry.is_folder)}" for entry in culprits]
    files = ignore_files_to_change(ignore_file)
    leave_out = f"  1. Leave out what a run does not need: add to {files}"
    tracked = [entry.path for entry in culprits if not spare.is_elsewhere(entry.path)]
    if lines:
        leave_out += "\n\n" + "\n".join(lines) + "\n"
    else:
        leave_out += " the files and folders that it can do without."
    if tracked:
        leave_out += (
            f"\n     and, so that Git keeps them out of later commits too, in {shown(where)}\n\n"
            f"     {untrack_command(tracked)}\n"
        )
    return "\n".join(
        (
            "Do one of these:",
            leave_out,
            "  2. Keep large files in the shared folder, which survives runs: AZUREML_NATIVE_SHARE_DIRECTORY names it.",
            "  3. Keep them in the artifact store or a datastore, and fetch them in the script.",
            f"  4. Raise the limit: {raised} in [tool.amltool.limits] of pyproject.toml, or in aml_config/project.yml.",
        )
    )


def ignore_line(path: str, *, folder: bool = False) -> str:
    r"""The line of an ignore file that names this path, for amltool and for Git alike.

    A character that an ignore file cannot hold or a terminal should not get (a newline, a control character, a byte
    that is not UTF-8, a blank beyond ASCII at the end) becomes ``?``; Git takes that for one byte, not one letter.
    """
    line = "".join(_as_pattern(letter) for letter in path)
    if folder:
        return f"/{line}/"
    last = line[-1:]
    if last.isspace():
        line = line[:-1] + ("\\ " if last == " " else "?")
    return f"/{line}"


def _as_pattern(letter: str) -> str:
    if letter in "\\*?[":
        return f"\\{letter}"
    return "?" if letter < " " or "\x7f" <= letter <= "\x9f" or "\udc80" <= letter <= "\udcff" else letter


def untrack_command(paths: Sequence[str]) -> str:
    """The command that takes paths out of Git's index and leaves them on disk, safe to paste into bash or zsh."""
    literal = "--literal-pathspecs " if any(path[:1] == ":" or set(path) & set("*?[\\") for path in paths) else ""
    return f"git {literal}rm --cached -r --ignore-unmatch -- {' '.join(shell_word(path) for path in paths)}"


def shell_word(path: str) -> str:
    """A path as one word that is safe to paste into bash or zsh."""
    import shlex

    if path.isprintable():
        return shlex.quote(path)
    quoted = "".join(
        letter if (letter.isascii() and letter.isalnum()) or letter in " ./_-" else f"\\{byte:03o}"
        for byte in path.encode("utf-8", "surrogateescape")
        for letter in (chr(byte),)
    )
    return f"$'{quoted}'"


def shown(path: str) -> str:
    """A path as it can be shown in one line of a terminal: quoted where blanks or control characters would mislead."""
    text = safe_text(path)
    return text if text.isprintable() and text == text.strip() else repr(text)


def _shown_entry(entry: Entry) -> str:
    return shown(entry.path + "/") if entry.is_folder else shown(entry.path)


def report(
    weight: Weight,
    limits: Limits,
    ignore_file: str | None,
    problems: Sequence[Problem],
    paths: Iterable[str] | None = None,
) -> dict[str, object]:
    r"""What ``check --json`` prints (DESIGN 5); with ``paths`` also the files of the snapshot.

    ``offenders`` are the heaviest files, then the heaviest folders (their path ends in ``/``), when there is a
    problem. Bytes of a name that are not UTF-8 are written ``\xNN``.
    """
    offenders = [*weight.heaviest_files, *weight.heaviest_folders] if problems else []
    document: dict[str, object] = {
        "ok": all(problem.level is not Level.ERROR for problem in problems),
        "size": weight.size,
        "files": weight.files,
        "limits": {
            "warn_size": limits.warn_size,
            "max_size": limits.max_size,
            "max_files": limits.max_files,
            "profile": limits.profile.value,
        },
        "ignore_file": ignore_file,
        "problems": [
            {"id": one.id, "level": one.level.value, "message": one.message, "remedy": one.remedy} for one in problems
        ],
        "offenders": [
            {"path": safe_text(entry.path) + "/" * entry.is_folder, "size": entry.size} for entry in offenders
        ],
    }
    if paths is not None:
        document["paths"] = [safe_text(path) for path in paths]
    return document
