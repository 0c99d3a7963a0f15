"""Rules made ready to be asked about many paths: by name and by folder, not by one expression a pattern."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter

import msgspec

from amltool.errors import UserError
from amltool.ignore.automaton import Expression, compile_expression, expression, is_cheap, parts_of
from amltool.ignore.patterns import ANYWHERE, Rule

MOST_PATTERNS = 10_000
"""Patterns with wildcards in one file: each may have to be compared with each path."""
MOST_ALTERNATIVES = 200
"""Patterns that are put together in one expression: with thousands, making that takes longer than it is used."""
LITERAL = re.compile(r"(?:[^\\.^$*+?{}\[\]|()]|\\[^A-Za-z0-9])*", re.DOTALL)


STAR = "[^/]*"


class Pieces:
    """A name of literal pieces with any letters between them (``*a*b*.txt``), found one after the other: a pattern of
    many stars costs no more than its letters."""

    __slots__ = ("_first", "_last", "_least", "_middle")

    def __init__(self, pieces: Sequence[str]) -> None:
        self._first, *self._middle, self._last = pieces
        self._least = sum(map(len, pieces))

    def whole(self, name: str) -> bool:
        """Return True if the name is these pieces, with anything between two of them."""
        if len(name) < self._least or not (name.startswith(self._first) and name.endswith(self._last)):
            return False
        place, end = len(self._first), len(name) - len(self._last)
        for piece in self._middle:
            place = name.find(piece, place, end)
            if place < 0:
                return False
            place += len(piece)
        return True


def whole_name(name: str) -> Callable[[str], bool]:
    """Return a function that says of a name whether it is one that this expression of a name means."""
    pieces = name.split(STAR)
    if len(pieces) > 1 and all(LITERAL.fullmatch(piece) for piece in pieces):
        return Pieces([_unescape(piece) for piece in pieces]).whole
    shape, needed = expression(name), longest_text(name)
    return lambda text: needed in text and shape.whole(text)


def longest_text(core: str) -> str:
    """Return the longest text that stands in whatever the expression matches."""
    runs, run = [""], ""
    for part in parts_of(core):
        run = run + _unescape(part) if LITERAL.fullmatch(part) else ""
        runs.append(run)
    return max(runs, key=len)


class Names:
    """The rules that speak of names in one folder. ``rank`` is the place of the last that matches, or -1."""

    __slots__ = ("_costly", "_globs", "_literals", "_ranks", "_suffix_ranks", "_suffixes")

    def __init__(self, rules: Iterable[tuple[int, str]]) -> None:
        self._literals: dict[str, int] = {}
        self._suffix_ranks: dict[str, int] = {}
        globs: list[tuple[int, str]] = []
        costly: list[tuple[int, Callable[[str], bool]]] = []
        for rank, name in rules:
            rest = name.removeprefix(STAR) if name != "[^/]+" else ""
            if LITERAL.fullmatch(name):
                self._literals[_unescape(name)] = rank
            elif LITERAL.fullmatch(rest):
                self._suffix_ranks[_unescape(rest)] = rank
            elif is_cheap(name):
                globs.append((rank, name))
            else:
                costly.append((rank, whole_name(name)))
        if len(globs) > MOST_ALTERNATIVES:
            costly = sorted([*costly, *((rank, whole_name(name)) for rank, name in globs)], key=itemgetter(0))
            globs = []
        self._costly = costly[::-1]
        self._suffixes = tuple(self._suffix_ranks)
        self._ranks = [rank for rank, _ in reversed(globs)]
        text = "|".join(rf"({name})\Z" for _, name in reversed(globs))
        self._globs = compile_expression(text) if globs else None

    def rank(self, name: str) -> int:
        best = self._literals.get(name, -1)
        if self._suffixes and name.endswith(self._suffixes):
            best = max(best, *(rank for suffix, rank in self._suffix_ranks.items() if name.endswith(suffix)))
        if self._globs is not None and (found := self._globs.match(name)):
            best = max(best, self._ranks[(found.lastindex or 1) - 1])
        for rank, is_meant in self._costly:
            if rank > best and is_meant(name):
                return rank
        return best


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


class Folder(msgspec.Struct, frozen=True):
    """What is known of a folder: the last rule that speaks of all in it, and where it was left out, if it was."""

    rank: int
    left_out: str | None
    files: Names
    folders: Names


class Ruler:
    """Rules made ready to be asked about many paths; remembers each folder it has seen."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self._anywhere: list[int] = []
        self._names: list[str] = []
        self._fixed: dict[str, list[int]] = {}
        self._shaped: list[tuple[int, Expression]] = []
        self._crossing: list[tuple[int, Expression]] = []
        self._known: dict[tuple[int, ...], tuple[Names, Names]] = {}
        for rank, rule in enumerate(rules):
            self._add(rank, rule)
        wild = sum(not LITERAL.fullmatch(name) for name in self._names)
        if wild > MOST_PATTERNS:
            raise UserError(
                f"The ignore file has {wild:,} patterns with wildcards, more than {MOST_PATTERNS:,}.",
                "Name folders instead of the files in them.",
            )
        self._crossing.reverse()
        self._folders = {"": Folder(-1, None, *self._speaking("", -1))}

    def _add(self, rank: int, rule: Rule) -> None:
        head, name = split_name(rule.core)
        self._names.append(name)
        if crosses_folders(rule.core):
            self._crossing.append((rank, expression(rule.core)))
        elif head is None:
            self._anywhere.append(rank)
        elif LITERAL.fullmatch(head[1:]):
            self._fixed.setdefault(_unescape(head[1:]), []).append(rank)
        else:
            self._shaped.append((rank, expression(head)))

    def _speaking(self, folder: str, above: int) -> tuple[Names, Names]:
        """The rules after ``above`` for the files and for the folders that lie directly in ``folder``."""
        ranks = [*self._anywhere, *self._fixed.get(folder, ())]
        ranks += [rank for rank, shape in self._shaped if folder and shape.whole(folder)]
        key = tuple(sorted(rank for rank in ranks if rank > above))
        if key not in self._known:
            files = Names((rank, self._names[rank]) for rank in key if not self.rules[rank].folders_only)
            self._known[key] = (files, Names((rank, self._names[rank]) for rank in key))
        return self._known[key]

    def folder(self, path: str) -> Folder:
        missing: list[str] = []
        while path not in self._folders:
            missing.append(path)
            path = path.rpartition("/")[0]
        for name in reversed(missing):
            self._folders[name] = self._enter(name)
        return self._folders[missing[0] if missing else path]

    def _enter(self, path: str) -> Folder:
        above, _, name = path.rpartition("/")
        parent = self._folders[above]
        if parent.left_out is not None:
            return parent
        rank = self.rank(parent, path, name)
        if rank >= 0 and self.rules[rank].excludes:
            return Folder(rank, path, parent.files, parent.folders)
        inside = max(parent.rank, parent.files.rank(name), parent.folders.rank(name))
        return Folder(inside, None, *self._speaking(path, inside))

    def rank(self, folder: Folder, path: str, name: str) -> int:
        """The place of the rule that decides on an entry of ``folder``, or -1."""
        best = max(folder.rank, folder.files.rank(name))
        for rank, shape in self._crossing:
            if rank > best and shape.above(path, self.rules[rank].folders_only):
                return rank
        return best

    def decide(self, path: str) -> tuple[int, str]:
        """The place of the rule that decides on a file, and the path on which it did (a folder that was left out)."""
        above, _, name = path.rpartition("/")
        folder = self.folder(above)
        if folder.left_out is not None:
            return folder.rank, folder.left_out
        return self.rank(folder, path, name), path

    def left_out(self, paths: Iterable[str]) -> Iterator[tuple[str, bool]]:
        """Each path with whether it is left out; fastest when files of one folder follow each other."""
        rules, last, folder = self.rules, "", self.folder("")
        for path in paths:
            above, _, name = path.rpartition("/")
            if above != last:
                last, folder = above, self.folder(above)
            if folder.left_out is not None:
                yield path, True
            else:
                rank = self.rank(folder, path, name)
                yield path, rank >= 0 and rules[rank].excludes


def split_name(core: str) -> tuple[str | None, str]:
    """The expression of the folder an entry lies in (``None``: any), and of its name."""
    masked = core.replace("[^/]", "\0\0\0\0")
    cut = masked.rfind("/")
    if core.startswith(ANYWHERE) and cut < len(ANYWHERE):
        return None, core[len(ANYWHERE) :]
    return ("^", core[1:]) if cut < 0 else (core[:cut], core[cut + 1 :])


def crosses_folders(core: str) -> bool:
    """Whether a set such as ``[!a]`` matches ``/`` too, as it does for the ancestor (and never for Git)."""
    sets = re.finditer(r"\\.|(\[\^?\]?[^\]]*\])", core.replace("[^/]", ""), re.DOTALL)
    return any(found[1] and compile_expression(found[1]).match("/") for found in sets)
