"""The contract of a host, and a host in memory."""

from __future__ import annotations

import io
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

import pytest

from amltool.errors import TargetError
from amltool.hosts.base import LARGEST_PIECE, CommandResult, FileKind, FileOnHost, Host, Piece

Program = Callable[[Sequence[str], bytes], CommandResult]
"""What a fake host does for a program: its command and standard input -> what it came to."""


@dataclass(frozen=True, slots=True)
class _Node:
    kind: FileKind
    content: bytes = b""
    to: str = ""
    mode: int = 0o644
    mtime_ns: int = 0
    inode: int = 0


class FakeHost:
    """A host in memory; ``programs`` maps the name of a program to what it does."""

    def __init__(self, root: str = "/fake/.amltool", programs: Mapping[str, Program] | None = None) -> None:
        self._root = PurePosixPath(root)
        self._nodes: dict[PurePosixPath, _Node] = {PurePosixPath("/"): _Node(FileKind.FOLDER)}
        self._made = 0
        self.programs = dict(programs or {})
        self.started: list[tuple[list[str], bytes]] = []
        """Every command that `start` was given, with its input."""
        self.reachable = True
        """Set it to False and every call raises TargetError, as when the network is gone."""

    @property
    def name(self) -> str:
        return "fake"

    @property
    def root(self) -> PurePosixPath:
        return self._root

    def run(self, command: Sequence[str], *, input: bytes = b"", timeout_s: float | None = None) -> CommandResult:  # noqa: ARG002
        self._reach()
        if command[0] not in self.programs:
            raise FileNotFoundError(2, "No such file or directory", command[0])
        return self.programs[command[0]](command, input)

    def start(self, command: Sequence[str], *, input: bytes = b"") -> None:
        self.started.append((list(command), input))
        self.run(command, input=input)

    def read(self, path: PurePosixPath, offset: int = 0, limit: int | None = None) -> bytes:
        node = self._node(path)
        if node.kind is not FileKind.FILE:
            raise OSError(22, "not a regular file", str(path))
        return node.content[offset : None if limit is None else offset + limit]

    def write(self, path: PurePosixPath, content: bytes, mode: int = 0o644) -> None:
        self.make_folder(path.parent)
        self._put(path, FileKind.FILE, content=content, mode=mode)

    def make_folder(self, path: PurePosixPath) -> None:
        self._reach()
        for folder in [*reversed(path.parents), path]:
            if folder not in self._nodes:
                self._put(folder, FileKind.FOLDER)
            elif self._nodes[folder].kind is not FileKind.FOLDER:
                raise FileExistsError(17, "File exists", str(folder))

    def exists(self, path: PurePosixPath) -> bool:
        self._reach()
        return path in self._nodes

    def names(self, folder: PurePosixPath) -> list[str]:
        if self._node(folder).kind is not FileKind.FOLDER:
            raise NotADirectoryError(20, "Not a directory", str(folder))
        return sorted(path.name for path in self._nodes if path.parent == folder and path != folder)

    def rename(self, source: PurePosixPath, destination: PurePosixPath) -> None:
        if self._node(source).kind is FileKind.FOLDER and destination in self._nodes:
            raise FileExistsError(17, "File exists", str(destination))
        for path in [path for path in self._nodes if path == source or source in path.parents]:
            self._nodes[destination / path.relative_to(source)] = self._nodes.pop(path)

    def remove(self, path: PurePosixPath) -> None:
        self._reach()
        for below in [below for below in self._nodes if below == path or path in below.parents]:
            del self._nodes[below]

    def walk(self, folder: PurePosixPath, below: str = "") -> Iterator[FileOnHost]:
        self._reach()
        for name in PurePosixPath(below).parts:
            node = self._nodes.get(folder)
            if node is not None and node.kind is not FileKind.FOLDER:
                break
            folder = folder / name
        node = self._nodes.get(folder)
        if node is not None and node.kind is not FileKind.FOLDER:
            yield self._seen(".", node)
            return
        found = [path.relative_to(folder) for path in self._nodes if folder in path.parents]
        for path in sorted(found, key=lambda path: path.parts):
            yield self._seen(str(path), self._nodes[folder / path])

    def changed(self, folder: PurePosixPath, below: str, since: str, skipped: Sequence[str], limit: int) -> list[str]:
        begun = self._nodes.get(folder / since)
        found = []
        for seen in self.walk(folder, below):
            parts = PurePosixPath(seen.path)
            is_skipped = any(str(above) in skipped or above.name in skipped for above in parts.parents)
            if (
                seen.kind is not FileKind.FOLDER
                and not is_skipped
                and seen.ctime_ns >= (begun.mtime_ns if begun else 0)
            ):
                found.append(seen.path)
        return found[:limit]

    @contextmanager
    def open(self, folder: PurePosixPath, path: str) -> Iterator[BinaryIO]:
        parts = path.split("/")
        if not all(parts) or {".", ".."} & set(parts):
            raise OSError(22, "not a path below a folder", path)
        for part in parts[:-1]:
            folder = folder / part
            if self._node(folder).kind is not FileKind.FOLDER:
                raise NotADirectoryError(20, "Not a directory", str(folder))
        yield io.BytesIO(self.read(folder / parts[-1]))

    def pieces(self, folder: PurePosixPath, wanted: Iterable[Piece]) -> Iterator[bytes | OSError]:
        for piece in wanted:
            try:
                with self.open(folder, piece.path) as stream:
                    found: bytes | OSError = stream.read()[piece.offset :][: piece.limit]
            except OSError as error:
                found = error
            yield found

    def link(self, path: PurePosixPath, to: str) -> None:
        """Plant a symbolic link."""
        self._put(path, FileKind.LINK, to=to)

    def special(self, path: PurePosixPath) -> None:
        """Plant something that is neither file, folder nor link: a FIFO, say."""
        self._put(path, FileKind.OTHER)

    def _put(
        self, path: PurePosixPath, kind: FileKind, *, content: bytes = b"", to: str = "", mode: int = 0o644
    ) -> None:
        self._made += 1
        self._nodes[path] = _Node(kind, content, to, mode, time.time_ns(), self._made)

    def _node(self, path: PurePosixPath) -> _Node:
        self._reach()
        if path not in self._nodes:
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return self._nodes[path]

    def _seen(self, path: str, node: _Node) -> FileOnHost:
        return FileOnHost(path, node.kind, len(node.content), node.mtime_ns, node.mode, node.inode, node.mtime_ns)

    def _reach(self) -> None:
        if not self.reachable:
            raise TargetError("The host fake is unreachable.", "Look at the network, then try again.")


class HostContract:
    """What every host does. Override `host` and `place`, and the commands where the host has no POSIX shell."""

    @pytest.fixture
    def host(self) -> Host:
        raise NotImplementedError

    @pytest.fixture
    def place(self, host: Host) -> PurePosixPath:
        """An empty folder that is ours."""
        raise NotImplementedError

    def prints_its_input(self) -> list[str]:
        return ["cat"]

    def exits(self, code: int) -> list[str]:
        return ["sh", "-c", f"echo said; echo complained >&2; exit {code}"]

    def keeps_its_input(self, path: PurePosixPath) -> list[str]:
        """A command that takes a while, then has its standard input in a file, whole."""
        return ["sh", "-c", 'sleep 0.3; cat > "$0.part" && mv "$0.part" "$0"', str(path)]

    def plant_link(self, host: Host, path: PurePosixPath, to: str) -> None:
        assert host.run(["ln", "-s", to, str(path)]).exit_code == 0

    def plant_fifo(self, host: Host, path: PurePosixPath) -> None:
        assert host.run(["mkfifo", str(path)]).exit_code == 0

    def test_what_is_written_is_read_back(self, host: Host, place: PurePosixPath) -> None:
        host.write(place / "a" / "b.bin", b"0123456789\0\xff")
        assert host.read(place / "a" / "b.bin") == b"0123456789\0\xff"

    def test_a_part_of_a_file_is_read_from_an_offset(self, host: Host, place: PurePosixPath) -> None:
        host.write(place / "file", b"0123456789")
        parts = [host.read(place / "file", offset, 4) for offset in (0, 4, 8, 10, 12)]
        assert parts == [b"0123", b"4567", b"89", b"", b""]
        assert host.read(place / "file", 7) == b"789"

    def test_a_file_is_replaced_whole(self, host: Host, place: PurePosixPath) -> None:
        host.write(place / "file", b"long content")
        host.write(place / "file", b"short")
        assert host.read(place / "file") == b"short"
        assert host.names(place) == ["file"]

    def test_a_file_gets_its_mode(self, host: Host, place: PurePosixPath) -> None:
        host.write(place / "script", b"", mode=0o700)
        (script,) = host.walk(place)
        assert stat.S_IMODE(script.mode) == 0o700

    def test_a_missing_file_is_a_missing_file(self, host: Host, place: PurePosixPath) -> None:
        with pytest.raises(FileNotFoundError):
            host.read(place / "nothing")
        with pytest.raises(FileNotFoundError):
            host.names(place / "nothing")
        with pytest.raises(FileNotFoundError):
            host.rename(place / "nothing", place / "something")
        with pytest.raises(FileNotFoundError), host.open(place, "nothing"):
            pass

    def test_a_folder_may_be_made_twice(self, host: Host, place: PurePosixPath) -> None:
        host.make_folder(place / "a" / "b")
        host.make_folder(place / "a" / "b")
        assert host.names(place / "a") == ["b"]

    def test_a_folder_is_not_made_over_a_file(self, host: Host, place: PurePosixPath) -> None:
        host.write(place / "taken", b"")
        with pytest.raises(FileExistsError):
            host.make_folder(place / "taken")

    def test_a_link_to_nowhere_exists(self, host: Host, place: PurePosixPath) -> None:
        self.plant_link(host, place / "link", "nowhere")
        assert host.exists(place / "link")
        assert not host.exists(place / "nowhere")

    def test_names_are_sorted(self, host: Host, place: PurePosixPath) -> None:
        for name in ("b", "a", ".c", "ä"):
            host.write(place / name, b"")
        assert host.names(place) == [".c", "a", "b", "ä"]

    def test_a_file_replaces_a_file_by_renaming(self, host: Host, place: PurePosixPath) -> None:
        host.write(place / "new", b"new")
        host.write(place / "old", b"old")
        host.rename(place / "new", place / "old")
        assert host.read(place / "old") == b"new"
        assert host.names(place) == ["old"]

    def test_a_folder_replaces_nothing(self, host: Host, place: PurePosixPath) -> None:
        host.make_folder(place / "folder")
        host.make_folder(place / "empty")
        with pytest.raises(FileExistsError):
            host.rename(place / "folder", place / "empty")

    def test_a_tree_is_renamed_with_what_is_in_it(self, host: Host, place: PurePosixPath) -> None:
        host.write(place / "from" / "a" / "b", b"1")
        host.rename(place / "from", place / "to")
        assert host.read(place / "to" / "a" / "b") == b"1"
        assert not host.exists(place / "from")

    def test_a_tree_is_removed_and_links_are_not_followed(self, host: Host, place: PurePosixPath) -> None:
        host.write(place / "kept" / "file", b"1")
        host.write(place / "tree" / "a" / "b", b"1")
        self.plant_link(host, place / "tree" / "link", str(place / "kept"))
        self.plant_link(host, place / "link", str(place / "kept"))
        host.remove(place / "tree")
        host.remove(place / "link")
        host.remove(place / "nothing")
        assert [file.path for file in host.walk(place)] == ["kept", "kept/file"]

    def test_odd_names_are_seen_read_and_removed(self, host: Host, place: PurePosixPath) -> None:
        names = ["x" * 255, os.fsdecode(b"\xff\xfe"), "new\nline", " blank ", "-f", "*", "quo'te\"", "ünïcode", "a\\b"]
        for name in names:
            host.write(place / "odd" / name, name.encode("utf-8", "surrogateescape"))
        seen = [file.path for file in host.walk(place / "odd")]
        assert seen == sorted(names)
        for name in seen:
            with host.open(place / "odd", name) as stream:
                assert stream.read() == os.fsencode(name)
        host.remove(place / "odd")
        assert host.names(place) == []

    def test_a_walk_gives_folders_before_what_is_in_them(self, host: Host, place: PurePosixPath) -> None:
        for path in ("b/c", "a.txt", "a/z", "a/y/x"):
            host.write(place / path, b"12")
        self.plant_link(host, place / "b" / "up", "..")
        self.plant_fifo(host, place / "b" / "fifo")
        seen = [(file.path, file.kind, file.size) for file in host.walk(place) if file.kind is FileKind.FILE]
        assert seen == [(path, FileKind.FILE, 2) for path in ("a/y/x", "a/z", "a.txt", "b/c")]
        kinds = {file.path: file.kind for file in host.walk(place)}
        assert list(kinds) == ["a", "a/y", "a/y/x", "a/z", "a.txt", "b", "b/c", "b/fifo", "b/up"]
        assert kinds["a/y"] is FileKind.FOLDER
        assert kinds["b/fifo"] is FileKind.OTHER
        assert kinds["b/up"] is FileKind.LINK

    def test_a_missing_folder_has_nothing_below_it(self, host: Host, place: PurePosixPath) -> None:
        assert list(host.walk(place / "nothing")) == []

    def test_a_folder_that_is_a_link_is_not_entered(self, host: Host, place: PurePosixPath) -> None:
        host.write(place / "elsewhere" / "file", b"")
        self.plant_link(host, place / "outputs", str(place / "elsewhere"))
        assert [(file.path, file.kind) for file in host.walk(place / "outputs")] == [(".", FileKind.LINK)]
        with pytest.raises(OSError), host.open(place / "outputs", "file"):
            pass

    def test_no_folder_on_the_way_to_a_walk_may_be_a_link(self, host: Host, place: PurePosixPath) -> None:
        host.make_folder(place / "victim" / "outputs")
        host.write(place / "victim" / "outputs" / "x", b"x")
        host.make_folder(place / "run")
        assert [file.path for file in host.walk(place / "victim", "outputs")] == ["x"]
        self.plant_link(host, place / "run" / "work", str(place / "victim"))
        assert [(file.path, file.kind) for file in host.walk(place / "run", "work/outputs")] == [(".", FileKind.LINK)]
        assert list(host.walk(place / "run", "nothing/outputs")) == []

    def test_what_changed_is_told_without_what_was_there(self, host: Host, place: PurePosixPath) -> None:
        host.write(place / "work" / "old", b"x")
        time.sleep(0.02)  # a file system may have no finer clock
        host.write(place / "start.json", b"{}")
        for name in ("new", "data/new", "outputs/new", "data/__pycache__/new", "deep/outputs/new"):
            host.write(place / "work" / name, b"x")
        skipped = ["outputs", "__pycache__"]
        assert host.changed(place, "work", "start.json", skipped, 9) == ["data/new", "new"]
        assert host.changed(place, "work", "start.json", skipped, 1) == ["data/new"]
        assert host.changed(place, "nothing", "start.json", skipped, 9) == []

    def test_a_file_is_opened_below_a_folder(self, host: Host, place: PurePosixPath) -> None:
        host.write(place / "a" / "b" / "c", b"content")
        with host.open(place, "a/b/c") as stream:
            assert stream.read() == b"content"

    def test_no_link_is_followed_to_open_a_file(self, host: Host, place: PurePosixPath) -> None:
        host.write(place / "elsewhere" / "secret", b"secret")
        host.make_folder(place / "in")
        self.plant_link(host, place / "in" / "file", str(place / "elsewhere" / "secret"))
        self.plant_link(host, place / "in" / "folder", str(place / "elsewhere"))
        for path in ("file", "folder/secret", "../elsewhere/secret", "./file", "", "/etc/passwd"):
            with pytest.raises(OSError), host.open(place / "in", path):
                pass

    def test_what_is_no_regular_file_is_refused_at_once(self, host: Host, place: PurePosixPath) -> None:
        self.plant_fifo(host, place / "fifo")
        host.make_folder(place / "folder")
        begun = time.monotonic()
        for name in ("fifo", "folder"):
            with pytest.raises(OSError), host.open(place, name):
                pass
            with pytest.raises(OSError):
                host.read(place / name)
        assert time.monotonic() - begun < 60

    def test_pieces_of_many_files_come_in_their_order(self, host: Host, place: PurePosixPath) -> None:
        names = [f"{number}/{os.fsdecode(bytes([255]))}" for number in range(40)]
        for name in names:
            host.write(place / name, name.encode("utf-8", "surrogateescape") * 1000)
        wanted = [Piece(name, 5000, 3) for name in names] + [Piece(names[0], 10, 10**6), Piece(names[0], 0)]
        expected = [(os.fsencode(name) * 1000)[3:5003] for name in names] + [b"", b""]
        assert list(host.pieces(place, wanted)) == expected
        assert list(host.pieces(place, [])) == []

    def test_large_pieces_come_whole(self, host: Host, place: PurePosixPath) -> None:
        content = os.urandom(3 * LARGEST_PIECE)
        host.write(place / "large", content)
        wanted = [Piece("large", LARGEST_PIECE, offset) for offset in range(0, len(content), LARGEST_PIECE)]
        assert b"".join(found for found in host.pieces(place, wanted) if isinstance(found, bytes)) == content

    def test_a_piece_that_cannot_be_had_does_not_spoil_the_others(self, host: Host, place: PurePosixPath) -> None:
        host.write(place / "elsewhere" / "secret", b"secret")
        host.write(place / "in" / "file", b"content")
        self.plant_link(host, place / "in" / "link", str(place / "elsewhere" / "secret"))
        self.plant_link(host, place / "in" / "folder", str(place / "elsewhere"))
        self.plant_fifo(host, place / "in" / "fifo")
        odd = ["nothing", "link", "folder/secret", "folder", "fifo", "../elsewhere/secret", "", "/etc/passwd", "file/x"]
        wanted = [Piece(path, 10) for path in [*odd, "file"]]
        *found, last = host.pieces(place / "in", wanted)
        assert [isinstance(one, OSError) for one in found] == [True] * len(odd)
        assert isinstance(found[0], FileNotFoundError)
        assert last == b"content"

    def test_a_command_gets_its_input_and_gives_its_output(self, host: Host) -> None:
        content = os.urandom(300_000)
        assert host.run(self.prints_its_input(), input=content) == CommandResult(0, content, b"")

    def test_a_command_that_fails_says_so(self, host: Host) -> None:
        assert host.run(self.exits(7)) == CommandResult(7, b"said\n", b"complained\n")

    def test_a_missing_program_is_a_missing_file(self, host: Host) -> None:
        with pytest.raises(FileNotFoundError):
            host.run(["no-such-program-anywhere"])
        with pytest.raises(FileNotFoundError):
            host.start(["no-such-program-anywhere"])

    def test_a_started_command_gets_all_of_its_input_and_is_not_waited_for(
        self, host: Host, place: PurePosixPath
    ) -> None:
        content = os.urandom(300_000)
        host.start(self.keeps_its_input(place / "kept"), input=content)
        until = time.monotonic() + 120
        while not host.exists(place / "kept") and time.monotonic() < until:
            time.sleep(0.02)
        assert host.read(place / "kept") == content
