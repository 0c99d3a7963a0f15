"""Git's plumbing, called as a subprocess with an environment that nothing of a surrounding hook leaks into."""

from __future__ import annotations

import os
import subprocess
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO, cast

from amltool.errors import UserError
from amltool.layout import LocalLayout

KEPT_VARIABLES = (
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_ASKPASS",
    "GIT_TERMINAL_PROMPT",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_NO_VERIFY",
    "GIT_EXEC_PATH",
    "GIT_TRACE",
    "GIT_CEILING_DIRECTORIES",
)
"""The GIT_ variables that say how to reach things, or hold configuration (as Git itself hands both on to a submodule);
all others (GIT_DIR, GIT_INDEX_FILE, GIT_AUTHOR_…) say
what a surrounding hook is working on, and never reach a Git that we call (RELIABILITY fact 8)."""

_CONFIGURATION = ("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_")

DURABLE = ("-c", "core.fsync=all", "-c", "core.fsyncMethod=batch")
"""For writes that are acknowledged to a user (RELIABILITY fact 3)."""


OWN_INDEX = (
    "-c", "core.splitIndex=false", "-c", "core.untrackedCache=false", "-c", "core.fsmonitor=false",
    "-c", "index.sparse=false", "-c", "core.hooksPath=/dev/null",
)  # fmt: skip
"""For every call on an index other than the user's: a split index would leave shared files beside the user's and
expire those it needs (RELIABILITY fact 20), a hook or monitor would be told of an index that is not theirs."""


class GitError(Exception):
    """Git refused; the caller decides whether that is a user's mistake."""

    def __init__(self, command: Sequence[str], exit_code: int, stderr: bytes) -> None:
        self.command = tuple(command)
        self.exit_code = exit_code
        self.stderr = stderr.decode("utf-8", "replace").strip()
        how = f"ended by signal {-exit_code}" if exit_code < 0 else f"exit {exit_code}: {self.stderr}"
        super().__init__(f"git {' '.join(command)}: {how}")


def scrubbed_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment for a Git that must see nothing of a hook around us."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name in KEPT_VARIABLES or name.startswith(_CONFIGURATION)
    }
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    environment["LC_ALL"] = "C"
    environment["GIT_NO_LAZY_FETCH"] = "1"
    environment["GIT_NO_REPLACE_OBJECTS"] = "1"  # an id stands for its own bytes, and for no others
    if extra:
        environment.update(extra)
    return environment


class Git:
    """One repository, addressed by a folder in it.

    ``top`` is the top of the work tree, ``git_dir`` this work tree's own Git folder, ``common_dir`` the one
    that linked work trees share. ``head`` is the full id of HEAD's commit, ``None`` while there is none.
    """

    def __init__(self, top: Path, git_dir: Path, common_dir: Path, head: str | None) -> None:
        self.top = top
        self.git_dir = git_dir
        self.common_dir = common_dir
        self.head = head
        self._reader: ObjectReader | None = None
        self._options: tuple[str, ...] = ()

    @classmethod
    def of_submodule(cls, common_dir: Path) -> Git:
        """The repository of a submodule by its Git folder, also where no work tree is checked out of it any more."""
        made = cls(common_dir, common_dir, common_dir, None)
        made._options = (f"--git-dir={common_dir}", f"--work-tree={common_dir}")
        return made

    @classmethod
    def at(cls, folder: Path) -> Git:
        """Find the repository a folder lies in.

        Raises:
            UserError: Git is missing, or there is no repository with a work tree.
        """
        command = [
            "git",
            "rev-parse",
            "--is-bare-repository",
            "--git-dir",
            "--git-common-dir",
            "--show-toplevel",
            "HEAD",
        ]
        try:
            result = subprocess.run(command, cwd=folder, env=scrubbed_environment(), capture_output=True)
        except FileNotFoundError:
            if not folder.is_dir():
                raise UserError(f"There is no folder {folder}.", "Name one that exists.") from None
            raise UserError("Git was not found on this machine.", "Install git and see that it is on PATH.") from None
        except NotADirectoryError:
            raise UserError(f"{folder} is not a folder.", "Name the project's folder.") from None
        lines = os.fsdecode(result.stdout).split("\n")
        if len(lines) < 5 or not lines[3]:
            raise _not_usable(folder, lines, result.stderr.decode("utf-8", "replace"))
        head = lines[4] if result.returncode == 0 else None
        git_dir, common_dir = ((folder / line).resolve() for line in lines[1:3])
        return cls(Path(lines[3]), git_dir, common_dir, head)

    @cached_property
    def layout(self) -> LocalLayout:
        """Where amltool keeps what it keeps in this clone."""
        return LocalLayout(self.common_dir)

    def run(
        self,
        *arguments: str,
        input: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        allowed: Iterable[int] = (0,),
    ) -> bytes:
        """Run git and give its standard output.

        Raises:
            GitError: it exited with a code that is not among ``allowed``.
        """
        exit_code, stdout, stderr = self.ask(*arguments, input=input, environment=environment)
        if exit_code not in allowed:
            raise GitError(arguments, exit_code, stderr)
        return stdout

    def ask(
        self, *arguments: str, input: bytes | None = None, environment: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, bytes]:
        """Run git and give its exit code, standard output and standard error."""
        process = self.start(*arguments, environment=environment, stdin=subprocess.PIPE if input is not None else None)
        stdout, stderr = process.communicate(input)
        return process.returncode, stdout, stderr

    def text(self, *arguments: str, input: bytes | None = None, environment: Mapping[str, str] | None = None) -> str:
        """Run git and give its standard output as text, without the last newline."""
        return os.fsdecode(self.run(*arguments, input=input, environment=environment)).removesuffix("\n")

    def start(
        self, *arguments: str, environment: Mapping[str, str] | None = None, stdin: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start git without waiting, so that several can work at once; collect with ``communicate``."""
        options = OWN_INDEX if environment and "GIT_INDEX_FILE" in environment else ()
        folder, where = self._place()
        return subprocess.Popen(
            ["git", *where, *options, *arguments],
            cwd=folder,
            env=scrubbed_environment(environment),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def resolve(self, revision: str) -> str | None:
        """The full id of the commit a revision names, or ``None``."""
        exit_code, stdout, _ = self.ask(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
        )
        return stdout.decode().strip() if exit_code == 0 else None

    def ref(self, name: str) -> str | None:
        """The full id a ref of ours points at, or ``None`` where there is no such ref."""
        exit_code, stdout, _ = self.ask("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        return stdout.decode().strip() if exit_code == 0 else None

    @contextmanager
    def objects(self, environment: Mapping[str, str] | None = None) -> Iterator[ObjectReader]:
        """A reader of many objects through one process; it is kept and used again where no variables are asked for."""
        if environment:
            reader = ObjectReader(self._start_reader(environment))
            try:
                yield reader
            finally:
                reader.close()
            return
        yield self.get_reader()

    def get_reader(self) -> ObjectReader:
        """The reader that is kept, started if need be; asked for early, Git gets ready while something else is done."""
        if self._reader is None or self._reader.is_broken:
            self._reader = ObjectReader(self._start_reader(None))
        return self._reader

    def _place(self) -> tuple[Path, tuple[str, ...]]:
        """The folder Git is started in, and what it is told of that: a linked work tree may be removed while its run
        goes on, and the run is recorded in the repository it belonged to."""
        if self.top.is_dir():
            return self.top, self._options
        return self.common_dir, (f"--git-dir={self.common_dir}",)

    def _start_reader(self, environment: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
        folder, where = self._place()
        return subprocess.Popen(
            ["git", *where, "cat-file", "--batch"],
            cwd=folder,
            env=scrubbed_environment(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )


_BLOCK = 1 << 20


class OversizedError(Exception):
    """An object that was asked for has more bytes than are taken."""


class ObjectReader:
    """Reads objects by id (or any revision without a newline) from a running ``git cat-file --batch``."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._requests = cast(IO[bytes], process.stdin)
        self._answers = cast(IO[bytes], process.stdout)
        self._asking = False
        self._ended = weakref.finalize(self, _end, process)

    @property
    def is_broken(self) -> bool:
        """Whether a read was cut short or Git ended: what comes next would be the answer to something else."""
        return self._asking or self._process.poll() is not None

    def read(self, name: str, largest: int | None = None) -> tuple[str, bytes] | None:
        """Type and content of an object, ``None`` when it is missing or the name is none that can be asked for.

        Raises:
            OversizedError: it has more than ``largest`` bytes.
        """
        if "\n" in name or "\0" in name:  # each line is a question
            return None
        self._asking = True
        self._requests.write(os.fsencode(name) + b"\n")
        self._requests.flush()
        header = self._answers.readline()
        if not header:
            raise GitError(("cat-file", "--batch"), 128, b"the process ended")
        if header.endswith((b" missing\n", b" ambiguous\n")):
            self._asking = False
            return None
        _, kind, size = header.rsplit(b" ", 2)
        if largest is not None and int(size) > largest:
            self._pass_over(int(size) + 1)
            raise OversizedError(name)
        content = self._answers.read(int(size))
        self._answers.read(1)
        self._asking = False
        return kind.decode(), content

    def _pass_over(self, size: int) -> None:
        while size and (block := self._answers.read(min(size, _BLOCK))):
            size -= len(block)
        self._asking = size > 0

    def close(self) -> None:
        """End the process."""
        self._ended()


def _end(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        with suppress(OSError, ValueError):
            cast(IO[bytes], stream).close()
    process.wait()


def tree_names(content: bytes, id_length: int) -> list[str]:
    """The names in a tree object; ids of ``id_length`` hex digits (Git's format: ``mode name NUL id``)."""
    names = []
    while content:
        header, _, content = content.partition(b"\0")
        names.append(os.fsdecode(header.split(b" ", 1)[1]))
        content = content[id_length // 2 :]
    return names


def _not_usable(folder: Path, lines: list[str], stderr: str) -> UserError:
    if lines and lines[0] == "true":
        return UserError(f"{folder} is a bare repository: it has no files to run.", "Clone it and work in the clone.")
    if "dubious ownership" in stderr:
        return UserError(
            f"Git refuses {folder} because another user owns it.",
            f"If you trust it: git config --global --add safe.directory '{folder}'",
        )
    if "must be run in a work tree" in stderr:
        return UserError(f"{folder} is inside a .git folder, not in a work tree.", "Change to the project's folder.")
    said = stderr.strip().partition("\n")[0].removeprefix("fatal: ")
    if said and "not a git repository" not in said and "ambiguous argument 'HEAD'" not in said:
        return UserError(f"Git cannot use the repository of {folder}: {said}.", "Put that right; see: git status")
    return UserError(
        f"{folder} is not in a Git repository.",
        "Change to one, or make one: git init, then git add and git commit.",
    )
