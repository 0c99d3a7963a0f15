"""Keep snapshots: a ref that only we write holds each of them before its run is acknowledged (DESIGN 3).

`refs/amltool/snapshots` is a chain of empty commits that have snapshots as further parents. It must never name what is
not there: Git would call the whole repository broken. What is there is asked of a process younger than the question,
for an older one has packs open that ``gc`` has removed (RELIABILITY fact 19).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence

from amltool.errors import DamagedError, UserError
from amltool.git.command import Git, ObjectReader
from amltool.git.objects import IDENTITY, LENGTHS, NewObjects, parse_parents
from amltool.git.refs import head_now, tip_of
from amltool.layout import REMOTE_SNAPSHOTS, SNAPSHOTS_REF

LOOK_BACK = 24
"""How many of the newest commits of the snapshots ref are looked through before a snapshot is added (again): adding
it twice costs one small object, walking the whole ref costs time with every run."""
GC_PATIENCE_S = 10.0
"""How long a `gc` that began before a snapshot was kept is waited for; it may still take what it saw as not kept."""


class SnapshotGoneError(UserError):
    """A commit, or what it needs, is not in the repository any more."""

    def __init__(self, commit: str) -> None:
        super().__init__(
            f"The snapshot {commit} is not in this repository, or not whole.",
            "See `git fsck`, and take it again: somebody rewrote history and let `git gc` remove the old commits.",
        )


def require_id(commit: str) -> str:
    """The commit's id itself. Raises DamagedError where it is not a full one."""
    if len(commit) not in LENGTHS or set(commit) - set("0123456789abcdef"):
        raise DamagedError(f"{commit[:80]!r} is not the full id of a commit.", "Give all of its hex digits.")
    return commit


def missing_of(git: Git, object_ids: Collection[str]) -> set[str]:
    """Those of these objects that are not in the repository now.

    A loose object is seen without a process, and HEAD's commit is there as long as HEAD names it.
    """
    folder, head = git.common_dir / "objects", head_now(git) if object_ids else None
    unsure = [oid for oid in object_ids if oid != head and not (folder / oid[:2] / oid[2:]).is_file()]
    if not unsure:
        return set()
    asked = "".join(f"{oid}\n" for oid in unsure).encode()
    answers = git.run("cat-file", "--batch-check=%(objectname)", input=asked).split(b"\n")
    return {oid for oid, answer in zip(unsure, answers, strict=False) if answer != oid.encode()}


def with_snapshots(reader: ObjectReader, tip: str | None, keep: Sequence[str], new: NewObjects) -> str | None:
    """The tip after snapshots were added as further parents; the same tip when they are among the newest."""
    there = reader.read(tip) if keep and tip else None
    if keep and (there is None or there[0] != "commit"):
        tip = None  # somebody removed or replaced it: begin anew, or Git calls the whole repository broken
    known = _newest_snapshots(reader, tip) if keep else set()
    added = [require_id(commit) for commit in keep if commit not in known]
    new.needed.update(added)
    for start in range(0, len(added), 100):
        parents = [*([tip] if tip else []), *added[start : start + 100]]
        tip = new.commit(new.tree({}), parents, "amltool: snapshots", int(time.time()))
    return tip


def _newest_snapshots(reader: ObjectReader, tip: str | None) -> set[str]:
    """Every parent of the newest commits of the snapshots ref.

    The first commit has only snapshots as parents, so walking first parents ends in the project's own history:
    there a parent is reachable, too, which is all that is asked.
    """
    found: set[str] = set()
    for _ in range(LOOK_BACK):
        content = reader.read(tip) if tip else None
        if content is None or content[0] != "commit":
            break
        parents = parse_parents(content[1])
        found.update(parents)
        tip = parents[0] if parents else None
    return found


def require_whole(git: Git, commit: str, base: str) -> None:
    """Make sure that a snapshot which was kept just now is there with all of its files.

    HEAD was reachable all the time: nobody could take anything of it. What was made of uncommitted work, or a commit
    that HEAD has left meanwhile, may have lost objects to a `gc` that looked before it was kept.

    Raises:
        SnapshotGoneError: something of it is gone.
    """
    head = head_now(git)
    if head == commit:
        return
    if not is_whole(git, commit, [base] if head == base and base != commit else []):
        raise SnapshotGoneError(commit)


def is_whole(git: Git, commit: str, known: Iterable[str] = ()) -> bool:
    """Whether a commit is there with all of its files, those apart that ``known`` commits have or a promise covers."""
    arguments = ("--objects", "--quiet", "--max-count=1", "--missing=allow-promisor")
    excluded = [f"^{each}" for each in known]
    return git.ask("rev-list", *arguments, require_id(commit), *excluded)[0] == 0


def wait_for_gc(git: Git) -> None:
    """Wait, not for ever, for a `gc` that is at work: it may take what was not kept when it looked."""
    lock, until = git.common_dir / "gc.pid", time.monotonic() + GC_PATIENCE_S
    while lock.exists() and time.monotonic() < until:
        time.sleep(0.05)


def kept_snapshots(git: Git) -> tuple[set[str], bool]:
    """Every snapshot that the ref names, and whether all of it is there. The chain is followed as far as it goes."""
    tip = tip_of(git, SNAPSHOTS_REF)
    if tip is None:
        return set(), True
    exit_code, listed, _ = git.ask("rev-list", tip)
    if exit_code == 0:
        return set(listed.decode().split()), True
    named: set[str] = set()
    for commit in _chain(git, tip):
        named.update(commit)
    missing = missing_of(git, named)
    return {commit for commit in named - missing if is_whole(git, commit)}, False


def kept_for_remotes(git: Git) -> set[str]:
    """Every snapshot that a ref keeps which was fetched from a Git remote; none where one of these refs is broken."""
    exit_code, listed, _ = git.ask("rev-list", f"--glob={REMOTE_SNAPSHOTS}")
    return set(listed.decode().split()) if exit_code == 0 else set()


def _chain(git: Git, tip: str | None) -> Iterator[list[str]]:
    """The snapshots that each of our own commits names, from the newest on."""
    with git.objects() as reader:
        while tip is not None:
            found = reader.read(tip)
            if found is None or not is_ours(found[1]):
                yield [tip]
                return
            parents = parse_parents(found[1])
            first = reader.read(parents[0]) if parents else None
            has_older = first is not None and is_ours(first[1])
            yield parents[1:] if has_older else parents
            tip = parents[0] if has_older else None


def is_ours(content: bytes) -> bool:
    """Whether a commit is a link of the chain, and no snapshot."""
    return content.endswith(CHAIN_MESSAGE) and f"\nauthor {IDENTITY} ".encode() in content


CHAIN_MESSAGE = b"\n\namltool: snapshots\n"
