"""What an ignore file says in vain, or means otherwise than its writer may think (docs/limits.md)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from amltool.configuration.folder import read_if_there
from amltool.errors import UserError
from amltool.git.command import Git
from amltool.ignore import IGNORE_FILES, IgnoreFile, differs_from_git, select, translation_for, unused_patterns
from amltool.limits import Level, Problem, Profile, format_size, ignore_line, shown, untrack_command

MOST_NAMED = 10
MOST_CROSSING, MOST_STARS = 2, 8
"""``**`` and ``*`` in a pattern that Git is asked about."""
WRITTEN_BY_OTHERS = frozenset(
    {
        ".ipynb_checkpoints",
        "azureml-logs",
        ".azureml",
        ".git",
        "outputs",
        "azureml-setup",
        "docs",
        ".azuremlhistory_git",
        "*.dprep.user",
        ".vscode/settings.json",
        "__pycache__",
        "*.pyc",
        "*.py[cod]",
        ".venv",
        ".amltool",
    }
)
"""Patterns that an ignore file has as a matter of course (WORKBENCH 1.6, 4.2): not reported when they match nothing."""


class Looked(msgspec.Struct, frozen=True):
    """What the ignore check looks at: the files of the index or a commit with their bytes, and what rules them."""

    git: Git
    prefix: str
    sizes: Mapping[str, int]
    ignore_file: IgnoreFile | None
    profile: Profile
    is_working_folder: bool
    """Whether the files on disk belong to what is looked at: else nothing can be said about those Git leaves out."""
    submodules_out: tuple[str, ...] = ()
    """Submodules that have no file in the snapshot."""


def ignore_problems(looked: Looked) -> list[Problem]:
    """Every finding: patterns that are not read, match nothing or differ from Git; files one of the two leaves out."""
    problems = _committed_outputs(looked)
    file = looked.ignore_file
    if file is None:
        return problems
    translation = translation_for(file, looked.git.layout.cache)
    utf16 = file.content.startswith((b"\xff\xfe", b"\xfe\xff"))
    problems += [
        Problem(
            "ignore-pattern",
            Level.ERROR if utf16 else Level.WARNING,
            str(mistake),
            f"Mend the line in {file.name}, or remove it.",
        )
        for mistake in file.mistakes(translation)
    ]
    if utf16:
        return problems
    problems += _odd_bytes(file)
    on_disk = _files_on_disk(looked)
    # A .gitignore is written for what may come, and holds whole templates: there it is only a note
    if file.name == IGNORE_FILES[0] and (said := _unused(looked, file, on_disk)):
        remedy = "Mend what is misspelled; the rest does no harm."
        problems.append(Problem("ignore-unused", Level.WARNING, said, remedy))
    problems += _read_otherwise(looked, file)
    if file.name == IGNORE_FILES[0]:
        problems += _ignored_by_git(looked, file, on_disk)
    return problems


def ignore_notes(looked: Looked) -> list[str]:
    """Plain facts: which ignore file rules, and what of the commit it leaves out."""
    file = looked.ignore_file
    if looked.profile is Profile.WORKBENCH:
        return ["No ignore file rules the snapshot (profile workbench): all but outputs/, docs/ and .git is in it."]
    if file is None:
        return ["No ignore file rules the snapshot: there is neither .amlignore nor .gitignore at its root."]
    other = IGNORE_FILES[1] if file.name == IGNORE_FILES[0] and IGNORE_FILES[1] in looked.sizes else None
    notes = [f"{file.name} rules the snapshot{f', {other} does not' if other else ''}."]
    if file.name != IGNORE_FILES[0] and (said := _unused(looked, file, _files_on_disk(looked))):
        notes.append(said)
    left_out = select(looked.sizes, file, looked.profile, looked.git.layout.cache).excluded
    if left_out:
        size = sum(looked.sizes[path] for path in left_out)
        many = f"{len(left_out):,} file{'' if len(left_out) == 1 else 's'} ({format_size(size)})"
        notes.append(f"Git does not ignore {many} of the commit that no snapshot has: {_named(left_out)}.")
    return notes


def _committed_outputs(looked: Looked) -> list[Problem]:
    found = [path for path in looked.sizes if path.startswith("outputs/")]
    if not found:
        return []
    size = sum(looked.sizes[path] for path in found)
    return [
        Problem(
            "ignore-outputs",
            Level.WARNING,
            f"outputs/ is committed ({len(found):,} file{'' if len(found) == 1 else 's'}, {format_size(size)}) and is "
            "in no snapshot: a run fills it anew.",
            f"Take it out of Git and keep it out: add {ignore_line('outputs', folder=True)} to .gitignore, and in the "
            f"project's folder\n  {untrack_command(['outputs'])}",
        )
    ]


def _odd_bytes(file: IgnoreFile) -> list[Problem]:
    problems: list[Problem] = []
    if file.has_byte_order_mark:
        message = (
            f"{file.name} begins with a byte order mark (BOM): read here, but azureml-core lost the first pattern."
        )
        problems.append(Problem("ignore-bom", Level.WARNING, message, f"Save {file.name} as UTF-8 without BOM."))
    if file.has_carriage_returns:
        message = f"{file.name} has lines that end as on Windows (CRLF). They are read; other tools may not."
        remedy = f"Save it with LF, and keep it so: add `{file.name} text eol=lf` to .gitattributes."
        problems.append(Problem("ignore-crlf", Level.WARNING, message, remedy))
    return problems


def _files_on_disk(looked: Looked) -> list[str]:
    """Files on disk that are not in Git, those it ignores among them; a folder of only such ones ends in ``/``."""
    if not looked.is_working_folder:
        return []
    content = looked.git.run(
        "ls-files", "-z", "--others", "--directory", "--no-empty-directory", "--", looked.prefix or ".",
        environment={"GIT_LITERAL_PATHSPECS": "1"},
    )  # fmt: skip
    start = len(looked.prefix) + 1 if looked.prefix else 0
    return [path[start:] for path in os.fsdecode(content).split("\0") if path[start:]]


def _unused(looked: Looked, file: IgnoreFile, on_disk: Sequence[str]) -> str:
    """The sentence about patterns that match nothing, empty where each matches something."""
    # `folder/` as a file within it, so that the pattern that names the folder counts as used
    submodules = (f"{path}/." for path in looked.submodules_out)
    paths = [*looked.sizes, *submodules, *(f"{path}." if path.endswith("/") else path for path in on_disk)]
    rules = [
        rule
        for rule in unused_patterns(paths, file, looked.git.layout.cache)
        if rule.pattern.strip("/") not in WRITTEN_BY_OTHERS
    ]
    if not rules:
        return ""
    named = ", ".join(f"{shown(rule.pattern)} (line {rule.line})" for rule in rules[:MOST_NAMED])
    more = f" and {len(rules) - MOST_NAMED} more" if len(rules) > MOST_NAMED else ""
    one = len(rules) == 1
    return f"{file.name}: {len(rules)} pattern{' matches' if one else 's match'} nothing here: {named}{more}."


def _is_on_disk(file: IgnoreFile, place: str) -> bool:
    """Return True if Git reads there what rules: an ignore file that is staged may have been changed since."""
    try:
        return read_if_there(Path(place)) == file.content
    except UserError:
        return False


def _may_never_end(file: IgnoreFile) -> bool:
    """Return True if Git may take very long with a pattern: it tries the ways of ``**`` one after the other."""
    return any(line.count(b"**") > MOST_CROSSING or line.count(b"*") > MOST_STARS for line in file.content.splitlines())


def _read_otherwise(looked: Looked, file: IgnoreFile) -> list[Problem]:
    if file.name not in looked.sizes or looked.prefix:
        return []
    place = str(looked.git.top / file.name)
    if not looked.is_working_folder or not _is_on_disk(file, place) or _may_never_end(file):
        return []
    content = looked.git.run("ls-files", "-z", "--cached", "--ignored", f"--exclude-from={place}")
    ignored = frozenset(os.fsdecode(content).split("\0"))
    problems: list[Problem] = []
    differing = differs_from_git(looked.sizes, file, ignored, looked.git.layout.cache)
    for difference in differing[:MOST_NAMED]:
        name = shown(difference.path)
        here, there = f"keeps {name}", "leaves it out"
        if difference.excluded:
            here, there = f"leaves out {name}", "keeps it"
        why = f" ({difference.decided_by})" if difference.decided_by else ""
        message = f"{file.name}: a snapshot {here}, Git {there}{why}."
        problems.append(Problem("ignore-differs", Level.WARNING, message, "Say it with a pattern both read alike."))
    return problems


def _ignored_by_git(looked: Looked, file: IgnoreFile, on_disk: Sequence[str]) -> list[Problem]:
    """Files that ``.amlignore`` lets through but Git ignores: a commit, and so a run, never has them."""
    arguments = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory", "--no-empty-directory")
    if not on_disk:
        return []
    content = looked.git.run(*arguments, "--", looked.prefix or ".", environment={"GIT_LITERAL_PATHSPECS": "1"})
    start = len(looked.prefix) + 1 if looked.prefix else 0
    paths = [path[start:] for path in os.fsdecode(content).split("\0") if path[start:]]
    asked = {f"{path}." if path.endswith("/") else path: path for path in paths}
    found = [asked[path] for path in select(asked, file, looked.profile, looked.git.layout.cache).included]
    found = [path for path in found if path.strip("/").rpartition("/")[2] not in WRITTEN_BY_OTHERS]
    if not found:
        return []
    many = "1 file or folder is" if len(found) == 1 else f"{len(found):,} files and folders are"
    message = f"{many} ignored by Git and not by {file.name}, so in no snapshot: {_named(sorted(found))}."
    remedy = f"If a run needs it: git add --force PATH; else name it in {file.name} too."
    return [Problem("ignore-not-committed", Level.WARNING, message, remedy)]


def _named(paths: Sequence[str]) -> str:
    named = ", ".join(shown(path) for path in paths[:MOST_NAMED])
    return f"{named} and {len(paths) - MOST_NAMED:,} more" if len(paths) > MOST_NAMED else named
