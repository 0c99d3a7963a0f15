"""Git LFS: pointers among the files of a snapshot, and where their content lies in this clone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from amltool.git.command import Git
from amltool.snapshot import LargeFileContent

POINTER_SIZES = range(100, 1024)
"""A Git LFS pointer is at most 1023 bytes (git-lfs spec v1); real ones have about 130."""
USUAL_POINTER_SIZES = range(126, 145)
"""Those of a pointer that has no extension: its three lines, with a size of 1 to 19 digits."""
POINTER_START = b"version https://git-lfs.github.com/spec/v1\n"
ATTRIBUTES = ".gitattributes"


class Pointer(msgspec.Struct, frozen=True):
    """The content that a pointer stands for: its SHA-256 and its size in bytes (0 where the pointer is damaged)."""

    sha256: str
    size: int

    @property
    def is_whole(self) -> bool:
        return len(self.sha256) == 64 and self.sha256.isalnum()


def parse_pointer(content: bytes) -> Pointer | None:
    """Read a pointer; ``None`` where it is another file."""
    if not content.startswith(POINTER_START):
        return None
    fields = dict(line.split(b" ", 1) for line in content.splitlines() if b" " in line)
    size = fields.get(b"size", b"")
    sha256 = fields.get(b"oid", b"").removeprefix(b"sha256:").decode("ascii", "replace")
    return Pointer(sha256, int(size)) if size.isdigit() and len(size) < 19 else Pointer("", 0)


def pointer_sizes(git: Git, paths: Iterable[str]) -> range:
    """The sizes of files that are read for it: all that a pointer may have where anything here says that Git LFS is in
    use, else the usual ones, for a pointer may have been committed without its attribute."""
    in_use = (git.common_dir / "lfs").is_dir() or any(path.endswith(ATTRIBUTES) for path in paths)
    return POINTER_SIZES if in_use else USUAL_POINTER_SIZES


def find_contents(
    git: Git, pointers: Mapping[str, Pointer], other_folders: Iterable[str] = ()
) -> tuple[dict[str, LargeFileContent], list[str]]:
    """Where the content of each pointer lies, by its path; and the paths of those whose content is not here.

    ``other_folders`` are Git folders of submodules, which keep theirs apart.
    """
    contents: dict[str, LargeFileContent] = {}
    missing: list[str] = []
    storage = _storage(git, other_folders)
    for path, pointer in pointers.items():
        found = _find(pointer, storage) if pointer.is_whole else None
        if found is None:
            missing.append(path)
        else:
            contents[path] = LargeFileContent(str(found), pointer.sha256, pointer.size)
    return contents, sorted(missing)


def _find(pointer: Pointer, storage: Callable[[], list[Path]]) -> Path | None:
    digits = pointer.sha256
    places = (folder / "objects" / digits[:2] / digits[2:4] / digits for folder in storage())
    return next((place for place in places if place.is_file()), None)


def _storage(git: Git, other_folders: Iterable[str]) -> Callable[[], list[Path]]:
    """Git LFS's folders, looked up once: the usual one, and that of ``lfs.storage``, relative to Git's own folder."""
    known: list[Path] = []

    def folders() -> list[Path]:
        if not known:
            known.append(git.common_dir / "lfs")
            exit_code, stdout, _ = git.ask("config", "--type=path", "--get", "lfs.storage")
            if exit_code == 0:
                known.append(git.common_dir / stdout.decode("utf-8", "surrogateescape").removesuffix("\n"))
            known.extend(Path(folder) / "lfs" for folder in other_folders)
        return known

    return folders
