"""The pip part of a conda file: requirements files are read in, so that nothing outside of the recipe decides."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

import msgspec

from amltool.environments.base import ReadFile
from amltool.environments.lock import without_credentials
from amltool.errors import UserError

_OPTION = re.compile(r"(-[a-zA-Z]|--[a-z][a-z-]*)(?:\s*=\s*|\s+|(?<=^-[a-zA-Z])(?=\S)|$)(.*)", re.DOTALL)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|file:")
_ARCHIVE = re.compile(r"\.(?:whl|zip|tar\.gz|tgz|tar\.bz2|tar\.xz)$")
_VCS = re.compile(r"(?:git|hg|svn|bzr)\+")
_PINNED = re.compile(r"@[0-9a-f]{40}(?:[#\s]|$)")
_WHEEL_OF_FOLDER = "Make a wheel of it (pip wheel --no-deps FOLDER), commit it, and name that file under `pip:`."


class Requirements(msgspec.Struct, frozen=True):
    """Requirements one a line, as `recipe.Recipe` has them."""

    lines: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    files: dict[str, bytes] = {}


class _Reading:
    """Lines read so far; ``root`` is the folder of the conda file, where pip is run and paths begin, as conda does."""

    def __init__(self, root: str, read: ReadFile) -> None:
        self.root, self.read = root, read
        self.lines: list[str] = []
        self.options: list[str] = []
        self.constraints: list[str] = []
        self.files: dict[str, bytes] = {}
        self.seen: set[tuple[str, bool]] = set()

    def take(self, line: str, file: str, *, constraint: bool) -> None:
        option = _OPTION.fullmatch(line) if line.startswith("-") else None
        if option is not None:
            self._take_option(option[1], option[2].strip(), line, file)
        elif not constraint:
            self.lines.append(self._requirement(line, file))
        elif _is_path(_without_marker(line)):
            raise _refused(line, file, "is a file among constraints", "Name it among the requirements.")
        else:
            self.constraints.append(line)

    def _take_option(self, name: str, value: str, line: str, file: str) -> None:
        if name in ("-r", "--requirement", "-c", "--constraint"):
            self._include(value, line, file, constraint=name in ("-c", "--constraint"))
        elif name in ("-e", "--editable"):
            raise _refused(line, file, "is editable, so its code may change under every run", _without_editable(value))
        elif name in ("-f", "--find-links") and not _URL.match(value) and not value.startswith(("/", "$")):
            raise _refused(
                line, file, "is a folder of the project, which no recipe can hold", "Name its wheels one by one."
            )
        else:
            self.options.append(line)

    def _include(self, value: str, line: str, file: str, *, constraint: bool) -> None:
        value = _file_named(_unquoted(value))
        if _URL.match(value):
            raise _refused(line, file, "is not in the snapshot, so it may change", "Commit that file and name it.")
        base = posixpath.dirname(file) if file else self.root
        path = _within(posixpath.join(base, value), line, file)
        if (path, constraint) in self.seen:
            return
        self.seen.add((path, constraint))
        content = self.read(path)
        if content is None:
            raise _refused(
                line, file, f"names {path}, which is no file of the snapshot", "Commit it, or drop the line."
            )
        for one in _logical_lines(_decoded(content, path)):
            self.take(one, path, constraint=constraint)

    def _requirement(self, line: str, file: str) -> str:
        bare = _without_marker(line)
        name, at, place = bare.partition("@")
        if at and place.lstrip().startswith("file:"):
            return self._requirement(_by_path(place.strip(), line[len(bare) :], name.strip(), file), file)
        if bare.startswith("file:"):
            return self._requirement(_by_path(bare, line[len(bare) :], "", file), file)
        if not _is_path(bare):
            return line
        if bare.startswith(("/", "~")):
            raise _refused(line, file, "lies outside of the project", "Commit it into the project and name it there.")
        named = re.sub(r"\[[^\]]*\]$", "", bare)
        path, content = self._file(named, line, file)
        if any(map(str.isspace, path)):
            raise _refused(line, file, "has blanks in its path", "Rename it.")
        self.files[path] = content
        extras = re.search(r"\[[^\]]*\]$", bare)
        return f"./{path}{extras[0] if extras else ''}{line[len(bare) :]}"

    def _file(self, named: str, line: str, file: str) -> tuple[str, bytes]:
        """A file of the snapshot, by its path from the conda file's folder, else from the project's: pip of Workbench's
        time was run there."""
        beside = _within(posixpath.join(self.root, named), line, file)
        places = list(dict.fromkeys([beside, posixpath.normpath(named)]))
        for place in places:
            content = None if place.startswith("..") else self.read(place)
            if content is not None and _ARCHIVE.search(place):
                return place, content
        looked = " nor ".join(place for place in places if not place.startswith(".."))
        raise _refused(
            line,
            file,
            f"names no wheel or source archive of the snapshot: there is no such file {looked}",
            f"Commit it there, or correct the path (it begins at the conda file's folder). {_WHEEL_OF_FOLDER}"
            if _ARCHIVE.search(named)
            else _WHEEL_OF_FOLDER,
        )


def read_requirements(lines: Iterable[str], conda_file: str, read: ReadFile) -> Requirements:
    """Resolve the lines under ``pip:`` of a conda file; ``read`` gives files of the snapshot.

    Paths begin at the conda file's folder (a file that is not there is looked for from the project's), and those
    after ``-r`` and ``-c`` in a requirements file at its own.

    Raises:
        UserError: a line names something that is not in the snapshot or would change under the environment.
    """
    reading = _Reading(posixpath.dirname(conda_file), read)
    for text in lines:
        for line in _logical_lines(text):
            try:
                reading.take(line, "", constraint=False)
            except UserError as error:
                raise UserError(f"{conda_file}: {error.what}", error.remedy) from None
    return Requirements(
        tuple(reading.lines), tuple(dict.fromkeys(reading.options)), tuple(reading.constraints), reading.files
    )


def _without_editable(value: str) -> str:
    """What helps in place of ``-e VALUE``."""
    if not _VCS.match(value):
        return _WHEEL_OF_FOLDER
    if _PINNED.search(value):
        return f"Write it without -e, it is pinned to a commit: {without_credentials(value)}"
    return "Write it without -e, and pin it to a commit: git+https://HOST/REPOSITORY.git@SHA#egg=NAME"


def _by_path(url: str, rest: str, name: str, file: str) -> str:
    """A ``file:`` URL (of a package that may have a ``name``) as the path of a file in the project.

    Raises:
        UserError: it is a path of the machine where the line was written, as ``pip freeze`` and conda write them.
    """
    path = _file_named(url)
    if path.startswith(("/", "file:")):
        line = f"{name} @ {url}{rest}" if name else f"{url}{rest}"
        known = re.split(r"[\s\[]", name, maxsplit=1)[0]
        remedy = f"Write the version in its place ({known}==VERSION), or c" if known else "C"
        raise _refused(
            line, file, "names a place on one machine", f"{remedy}ommit a wheel of it and name it: ./wheels/NAME.whl"
        )
    extras = re.search(r"\[[^\]]*\]$", name)
    return f"./{path.partition('#')[0].removeprefix('./')}{extras[0] if extras else ''}{rest}"


def _file_named(value: str) -> str:
    """``file:NAME`` as ``NAME``, for it is relative; any other text as it is, ``file:///absolute`` among it."""
    named = value[len("file:") :] if value.startswith("file:") else value
    return value if named.startswith("/") else named


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _logical_lines(text: str) -> list[str]:
    """Lines as pip reads them: those that end in a backslash joined, comments and empty ones dropped."""
    joined = re.sub(r"\s*\\\r?\n\s*", " ", text)
    lines = (re.sub(r"(^|\s+)#.*$", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def _without_marker(line: str) -> str:
    return re.split(r"\s*;\s|\s+--", line, maxsplit=1)[0].strip()


def _is_path(requirement: str) -> bool:
    if _URL.match(requirement) or "@" in requirement.partition("/")[0]:
        return False
    bare = re.sub(r"\[[^\]]*\]$", "", requirement)
    return "/" in bare or bare.startswith((".", "~")) or bool(_ARCHIVE.search(bare))


def _within(path: str, line: str, file: str) -> str:
    found = posixpath.normpath(path)
    if found.startswith(("/", "..")):
        raise _refused(line, file, "lies outside of the project", "Commit it into the project and name it there.")
    return found


def _decoded(content: bytes, path: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text in UTF-8.", "Save it as UTF-8.") from None


def _refused(line: str, file: str, why: str, remedy: str) -> UserError:
    place = f"{file}: " if file else ""
    return UserError(f"{place}the pip line {without_credentials(line)!r} {why}.", remedy)
