"""Check artifact stores: all that is kept is read, what records name has to be there, and nothing else lies between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from amltool.artifact import STORED_HERE, Artifact
from amltool.commands.artifacts import artifacts_of
from amltool.commands.opening import Opened
from amltool.commands.storing import is_in_account, store_of_record
from amltool.errors import UserError
from amltool.run import LongList, Run, WholeRecord
from amltool.text import harmless

if TYPE_CHECKING:
    from amltool.stores.base import ArtifactStore

Finding = dict[str, str]
MOST_FOREIGN = 100
AGAIN = "Get it from the clone that made it, or run the experiment again."


class _Place(msgspec.Struct, frozen=True):
    """A store as the runs of a project use it: its address and the project's names, which lie in it apart."""

    address: str
    project: tuple[str, str, str]


class StoresReport(msgspec.Struct, frozen=True):
    """The findings of a check, and how many artifacts were read."""

    artifacts: int
    findings: list[Finding]


def check_stores(opened: Opened, runs: Sequence[Run]) -> StoresReport:
    """Verify every store that a record names: each content that is kept is read and compared with
    its SHA-256. A store that cannot be asked is a finding."""
    wanted: dict[_Place, dict[str, tuple[Run, str]]] = {}
    access: dict[_Place, Run] = {}
    findings: list[Finding] = []
    for run in runs:
        for artifact in _named(opened, run, findings):
            place = _place(artifact.store, run)
            access.setdefault(place, run)
            wanted.setdefault(place, {}).setdefault(artifact.sha256, (run, artifact.path))
    count = 0
    for place, named in wanted.items():
        try:
            store = store_of_record(opened, place.address, access[place].record)
            count += len(named)
            findings += _check_store(store, named)
        except UserError as error:
            findings.append(
                _finding("store", "error", f"The artifact store {place.address}: {error.what}", error.remedy)
            )
    return StoresReport(count, findings)


def _place(address: str, run: Run) -> _Place:
    """Only in a storage account each project has a folder of its own."""
    names = run.record.project
    return _Place(address, (names.account, names.workspace, names.name) if is_in_account(address) else ("", "", ""))


def _named(opened: Opened, run: Run, findings: list[Finding]) -> Iterator[Artifact]:
    """Every content that a record names."""
    record = run.record
    try:
        artifacts = artifacts_of(opened, run)
    except UserError as error:
        findings.append(_finding("artifact", "warning", f"Run {run.run_id}: {error.what}", error.remedy))
        artifacts = []
    yield from artifacts
    stores = {artifact.store for artifact in artifacts}
    address = stores.pop() if len(stores) == 1 else STORED_HERE
    for listed in (record.artifacts, record.omitted):
        if isinstance(listed, LongList):
            yield Artifact(listed.path, listed.bytes, listed.sha256, address)
    if isinstance(record.whole, WholeRecord):
        yield Artifact(record.whole.path, record.whole.bytes, record.whole.sha256, address)


def _check_store(store: ArtifactStore, named: dict[str, tuple[Run, str]]) -> Iterator[Finding]:
    here = {kept.sha256 for kept in store.walk()}
    for sha256 in sorted(here | set(named)):
        state = _state(store, sha256)
        if not state:
            continue
        run, path = named.get(sha256, (None, ""))
        what = (
            f"{harmless(path)} of run {run.run_id}" if run is not None else f"The artifact {sha256[:12]} of other runs"
        )
        is_elsewhere = state == "missing" and store.address == STORED_HERE
        said = "not in this clone" if is_elsewhere else f"{state} in the artifact store {store.address}"
        yield _finding("artifact", "warning" if is_elsewhere else "error", f"{what} is {said}", AGAIN)
    foreign = list(store.foreign())
    for name in foreign[:MOST_FOREIGN]:
        remedy = (
            "Nothing of amltool put it there, or it was changed since; look at it, and remove it if it is of no use."
        )
        yield _finding("foreign-object", "warning", f"{harmless(name)} is foreign in {store.address}", remedy)
    if len(foreign) > MOST_FOREIGN:
        yield _finding("foreign-object", "warning", f"{len(foreign) - MOST_FOREIGN} more are foreign there", "")


def _state(store: ArtifactStore, sha256: str) -> str:
    try:
        return "" if store.check(sha256) else "damaged"
    except KeyError:
        return "missing"


def _finding(kind: str, level: str, message: str, remedy: str) -> Finding:
    return {"id": kind, "level": level, "message": message, "remedy": remedy}
