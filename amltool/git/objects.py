"""New Git objects made in memory and written in one go."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum

from amltool.git.command import DURABLE, Git, GitError

LENGTHS = {40: "sha1", 64: "sha256"}
"""Digits of a full object id in the two object formats of Git."""

TREE_MODE = b"40000"
FILE_MODE = b"100644"

MANY = 1000
"""More new objects than this stay together in a pack instead of becoming a file each."""

IDENTITY = "amltool <amltool@localhost>"
"""Who makes our commits: fixed, so that no ``user.name`` is needed; who ran what is in the records."""


class Kind(IntEnum):
    """The kinds of objects, numbered as in a pack (gitformat-pack)."""

    COMMIT = 1
    TREE = 2
    BLOB = 3


class NewObjects:
    """Objects that are not in the repository yet; ``add`` gives each its id, ``write`` writes all of them.

    A pack of a handful of objects through ``unpack-objects`` is one process, whatever their number, and leaves
    nothing behind when it is killed (``fast-import`` leaves crash files and temporary packs).
    """

    def __init__(self, digits: int) -> None:
        self._hash = LENGTHS[digits]
        self._objects: dict[str, tuple[Kind, bytes]] = {}
        self.needed: set[str] = set()
        """Objects that the new ones name and that have to be in the repository already."""

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[str]:
        return iter(self._objects)

    def add(self, kind: Kind, content: bytes) -> str:
        """Take an object in and give its full id."""
        digest = hashlib.new(self._hash, f"{kind.name.lower()} {len(content)}\0".encode(), usedforsecurity=False)
        digest.update(content)
        name = digest.hexdigest()
        self._objects[name] = (kind, content)
        return name

    def tree(self, entries: Mapping[bytes, tuple[bytes, str]]) -> str:
        """A tree of name -> (mode, id), in Git's order: a folder sorts as if its name ended in a slash."""
        ordered = sorted(entries.items(), key=lambda item: item[0] + (b"/" if item[1][0] == TREE_MODE else b""))
        content = b"".join(b"%s %s\0%s" % (mode, name, bytes.fromhex(oid)) for name, (mode, oid) in ordered)
        return self.add(Kind.TREE, content)

    def commit(self, tree: str, parents: Sequence[str], message: str, seconds: int) -> str:
        """A commit of ours at a time in seconds since 1970."""
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        lines += [f"{role} {IDENTITY} {seconds} +0000" for role in ("author", "committer")]
        return self.add(Kind.COMMIT, ("\n".join(lines) + f"\n\n{message}\n").encode())

    def write(self, git: Git) -> None:
        """Write all of them durably; those that are there already cost nothing.

        Raises:
            GitError: the disk is full, or the repository cannot be written.
        """
        if self._objects:
            many = len(self._objects) > MANY
            command = (*DURABLE, *(("index-pack", "--stdin") if many else ("unpack-objects", "-q")))
            exit_code, _, stderr = git.ask(*command, input=self._pack())
            if exit_code:
                raise GitError(command, exit_code, stderr)

    def _pack(self) -> bytes:
        body = b"PACK" + struct.pack(">II", 2, len(self._objects))
        body += b"".join(_packed(kind, content) for kind, content in self._objects.values())
        return body + hashlib.new(self._hash, body, usedforsecurity=False).digest()


def parse_tree(content: bytes, digits: int) -> dict[bytes, tuple[bytes, str]]:
    """The entries of a tree: name -> (mode, id).

    Raises:
        ValueError: it is not a tree.
    """
    entries: dict[bytes, tuple[bytes, str]] = {}
    place, size = 0, digits // 2
    while place < len(content):
        end = content.index(b"\0", place)
        mode, name = content[place:end].split(b" ", 1)
        place = end + 1 + size
        entries[name] = (mode, content[end + 1 : place].hex())
    return entries


def parse_parents(content: bytes) -> list[str]:
    """The parents of a commit."""
    return [line[7:].decode() for line in _header(content) if line.startswith(b"parent ")]


def parse_tree_id(content: bytes) -> str:
    """The tree of a commit; empty where the content is not a commit's."""
    return next((line[5:].decode("ascii", "replace") for line in _header(content) if line.startswith(b"tree ")), "")


def parse_time(content: bytes) -> int:
    """When a commit was made, in seconds since 1970; 0 where it does not say."""
    line = next((line for line in _header(content) if line.startswith(b"committer ")), b"")
    words = line.rsplit(b" ", 2)
    return int(words[1]) if len(words) == 3 and words[1].isdigit() else 0


def _header(content: bytes) -> Iterable[bytes]:
    return content.split(b"\n\n", 1)[0].split(b"\n")


def _packed(kind: Kind, content: bytes) -> bytes:
    size = len(content)
    byte, size = (kind << 4) | (size & 15), size >> 4
    head = bytearray()
    while size:
        head.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    head.append(byte)
    return bytes(head) + zlib.compress(content)
