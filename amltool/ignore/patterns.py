"""The patterns of an ignore file, read as azureml-core 1.61 reads them and kept ready to match.

Its reading is pathspec's ``gitwildmatch`` before 1.0. No class of pathspec 1.x reads patterns exactly so; its
``gitignore`` does with the corrections in `_read_pattern`. Importing pathspec costs more than a whole check, so a
file is translated once and kept (`translation_for`).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from amltool.errors import Mistake, UserError
from amltool.files import write_whole
from amltool.ignore.automaton import compile_expression

IGNORE_FILES = (".amlignore", ".gitignore")
"""In the order they are looked for; the first that exists rules alone, also when it is empty."""

TRANSLATION = 1
"""Raised when the same ignore file would be translated differently: kept translations are then made anew."""

ANYWHERE = "^(?:.+/)?"
LONGEST_PATTERN = 4096
"""Characters, as many as a path can have bytes; a longer line matches nothing that anybody meant."""


class Rule(msgspec.Struct, frozen=True):
    """One pattern: its line (from 1; 0 is amltool's own rule), its text, and what it matches.

    ``core`` is the regular expression of the entry itself; ``folders_only`` says that it speaks of what lies in a
    folder of that name, never of a file (a pattern that ends in ``/`` or ``/**``).
    """

    line: int
    pattern: str
    excludes: bool
    core: str
    folders_only: bool


class Translation(msgspec.Struct, frozen=True):
    """The rules of an ignore file in its order, and what could not be read, as (line, sentence)."""

    rules: tuple[Rule, ...]
    faults: tuple[tuple[int, str], ...]

    def to_json(self) -> bytes:
        """The translation as ASCII; bytes of the ignore file that are not UTF-8 survive as lone surrogates."""
        import json

        rules = [[rule.line, rule.pattern, rule.excludes, rule.core, rule.folders_only] for rule in self.rules]
        return json.dumps({"v": TRANSLATION, "rules": rules, "faults": self.faults}).encode("ascii")

    @classmethod
    def from_json(cls, content: bytes) -> Translation:
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is damaged, or of another version.
        """
        import json

        try:
            document = json.loads(content)
            if document["v"] != TRANSLATION:
                raise ValueError(f"version {document['v']}")
            rules = tuple(Rule(*fields) for fields in document["rules"])
            return cls(rules, tuple((int(line), str(sentence)) for line, sentence in document["faults"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a translation: {error}") from error


class IgnoreFile(msgspec.Struct, frozen=True):
    """An ignore file: its name at the snapshot's root and its bytes."""

    name: str
    content: bytes

    @property
    def has_byte_order_mark(self) -> bool:
        """It spoiled the first pattern for the ancestor, and does for Git before 2.4; here it is dropped."""
        return self.content.startswith(b"\xef\xbb\xbf")

    @property
    def has_carriage_returns(self) -> bool:
        """Lines end as on Windows; Git and amltool both read them."""
        return b"\r" in self.content

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines with their number from 1. As the ancestor, a lone carriage return ends one too."""
        text = self.content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
        yield from enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1)

    def translate(self) -> Translation:
        """Read every pattern. Slow the first time in a process (it imports pathspec): see `translation_for`."""
        rules: list[Rule] = []
        faults: list[tuple[int, str]] = []
        if self.content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return Translation((), ((1, "This file is UTF-16: no pattern was read. Save it as UTF-8."),))
        for line, text in self.lines():
            pattern = _trim(text)
            if not pattern or pattern.startswith("#"):
                continue
            if len(pattern) > LONGEST_PATTERN:
                faults.append(
                    (line, f"A pattern of {len(pattern):,} characters is longer than any path and is skipped.")
                )
                continue
            try:
                rule = _read_pattern(line, pattern)
            except (ValueError, re.error) as error:
                faults.append((line, f"The pattern {pattern!r} cannot be read and is skipped ({_reason(error)})."))
                continue
            if rule is None:
                faults.append((line, f"The pattern {pattern!r} matches nothing."))
            else:
                rules.append(rule)
        return Translation(tuple(rules), tuple(faults))

    def mistakes(self, translation: Translation) -> tuple[Mistake, ...]:
        """What the reader of this file should hear; none of it stops a snapshot."""
        return tuple(Mistake(self.name, sentence, line) for line, sentence in translation.faults)


def ruling_ignore_file(read: Callable[[str], bytes | None]) -> IgnoreFile | None:
    """The ignore file that rules a snapshot: ``.amlignore``, else ``.gitignore``, else none; never both.

    ``read`` gives the bytes of a name at the snapshot's root, or ``None`` (or ``FileNotFoundError``) where there is
    no such entry. A folder of that name is an entry: it raises, as a file that cannot be read does, so that no
    snapshot is taken under a rule that nobody meant.

    Raises:
        UserError: the entry is there and is not a readable file.
    """
    for name in IGNORE_FILES:
        try:
            content = read(name)
        except FileNotFoundError:
            continue
        except IsADirectoryError as error:
            raise UserError(
                f"{name} is a folder, so it cannot say what to leave out.", f"Make {name} a file."
            ) from error
        except OSError as error:
            raise UserError(
                f"{name} cannot be read: {error.strerror or error}.",
                f"Make it a file that you may read; an empty {name} leaves nothing out.",
            ) from error
        if content is not None:
            return IgnoreFile(name, content)
    return None


def _trim(line: str) -> str:
    r"""The line without blanks on both sides (the ancestor's reading); a blank escaped as ``\ `` is part of it."""
    stripped = line.strip()
    after = line[len(line) - len(line.lstrip()) + len(stripped) :]
    escaping = (len(stripped) - len(stripped.rstrip("\\"))) % 2
    return stripped + " " if escaping and after.startswith(" ") else stripped


def _read_pattern(line: int, pattern: str) -> Rule | None:
    """One pattern as pathspec 0.12's ``gitwildmatch`` reads it; ``None`` where that matches nothing.

    pathspec 1.x's ``gitignore`` differs from it in these: ``/`` and ``/**/`` match nothing, and a last ``*``
    matches a folder with all it holds (compared on 90,000 random patterns).

    Raises:
        ValueError, re.error: the pattern is not one.
    """
    from pathspec.patterns.gitignore.basic import GitIgnoreBasicPattern

    regex, include = GitIgnoreBasicPattern.pattern_to_regex(pattern)
    if regex is None or include is None or re.fullmatch(r"!?/(\*\*/)*", pattern):
        return None
    core, folders_only = _split_tail(regex)
    if re.search(r"(?:^\^|/|^\^\(\?:\.\+/\)\?)(?:/|\(\?:/)", core):
        return None  # as in `a//b`: no path has a name of no letters
    core = re.sub(r"(?:\[\^/\]\*){2,}", "[^/]*", core)  # `a****b` would take time that grows with each star
    compile_expression(core)
    return Rule(line, pattern, include, core, folders_only)


def _split_tail(regex: str) -> tuple[str, bool]:
    if regex in (".", "/"):
        return ANYWHERE + "[^/]+", regex == "/"
    for tail in ("(?:/|$)", "/?$"):
        if regex.endswith(tail):
            return regex.removesuffix(tail), False
    if regex.endswith("/"):
        return regex.removesuffix("/"), True
    raise ValueError(f"this release of pathspec is not known: {regex}")


def _reason(error: Exception) -> str:
    if isinstance(error, re.error):
        return error.msg
    return str(error.__cause__ or error).partition(":")[0]


def translation_for(ignore_file: IgnoreFile, cache_folder: Path | None) -> Translation:
    """The translation of an ignore file, kept in ``cache_folder`` between processes (about 2 KB a version of it).

    A kept one that is damaged, of another release or unreadable is made anew; a folder that cannot be written does
    not matter.
    """
    if cache_folder is None or not ignore_file.content.strip():
        return ignore_file.translate()
    from hashlib import sha256

    key = sha256(b"%d\0" % TRANSLATION + ignore_file.content).hexdigest()
    place = cache_folder / f"ignore-{key}.json"
    with contextlib.suppress(OSError, ValueError):
        digest, _, kept = place.read_bytes().partition(b"\n")
        if digest == sha256(kept).hexdigest().encode():
            return Translation.from_json(kept)
    translation = ignore_file.translate()
    content = translation.to_json()
    with contextlib.suppress(OSError):
        cache_folder.mkdir(parents=True, exist_ok=True)
        write_whole(place, sha256(content).hexdigest().encode() + b"\n" + content)
    return translation
