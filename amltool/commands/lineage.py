"""Inputs of runs: found by a link or as an artifact of a run, found again by their SHA-256 for a rerun."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amltool.commands.artifacts import store_known_by_run
from amltool.errors import DamagedError, UserError
from amltool.run_input import RunInput, fault_of, file_name, inputs_in, is_input_name

if TYPE_CHECKING:
    from amltool.commands.opening import Opened
    from amltool.run import RunRecord

FORM = "NAME=assets/FILE.link or NAME=RUN:outputs/FILE"
BLOCK = 1 << 20


def named_inputs(pairs: Sequence[str]) -> dict[str, str]:
    """The sources that ``--input`` was given, by the name of each input.

    Raises:
        UserError: one has no name, a bad one, or one that another has.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, source = pair.partition("=")
        if not equals or not source:
            raise UserError(f"--input takes {FORM}, not {pair!r}.", "For example: --input model=assets/model.pkl.link")
        if not is_input_name(name):
            raise UserError(
                f"An input cannot be called {name!r}.",
                "Begin with a letter, then letters, digits, _ and -, at most 40: --input model=...",
            )
        if name in found:
            raise UserError(f"The input {name} is given twice.", "Give each a name of its own.")
        found[name] = source
    return found


def find_inputs(opened: Opened, wanted: Mapping[str, str]) -> list[RunInput]:
    """The inputs that a user names, with the store that has each of them.

    Raises:
        UserError: one is nothing that can be found, or its content is nowhere.
    """
    found = [_found(opened, name, source) for name, source in sorted(wanted.items())]
    fault = fault_of(found)
    if fault is not None:
        raise UserError(f"The inputs cannot be used: {fault}.", "Give each a name of its own: --input NAME=...")
    return found


def _found(opened: Opened, name: str, source: str) -> RunInput:
    from amltool.commands.promote import LINK, not_here

    made = _of_link(opened, name, source) if source.endswith(LINK) else _of_run(opened, name, source)
    kept = _kept(opened, made)
    if kept is None:
        raise not_here(made.path, made.run_id)
    return kept


def _of_link(opened: Opened, name: str, source: str) -> RunInput:
    from amltool.commands.promote import complete_link, read_link

    place = Path(source)
    if not place.is_absolute() and not place.exists():
        place = opened.project.root / source
    link = complete_link(opened, read_link(place))
    return RunInput(
        name=name,
        file=file_name(link.name, name),
        size=link.size,
        sha256=link.sha256,
        store=link.store,
        run_id=link.run_id,
        path=link.path,
        asset=link.name,
        version=link.version,
    )


def _of_run(opened: Opened, name: str, source: str) -> RunInput:
    from amltool.commands.looking import finished
    from amltool.commands.outputs import one_artifact

    run_name, colon, path = source.partition(":")
    if not colon or not path:
        raise UserError(
            f"The input {name} is {source!r}, which is neither a link file nor a file of a run.", f"Write {FORM}."
        )
    run = finished(opened, run_name)
    artifact = one_artifact(opened, run, path, "an input")
    return RunInput(
        name=name,
        file=file_name(artifact.path, name),
        size=artifact.size,
        sha256=artifact.sha256,
        store=artifact.store,
        run_id=run.run_id,
        path=artifact.path,
    )


def find_again(opened: Opened, record: RunRecord) -> list[RunInput]:
    """The inputs of a recorded run, by their SHA-256: the same content, wherever it is now.

    Raises:
        UserError: the record is of no amltool, or the content of one is nowhere.
    """
    try:
        recorded = inputs_in(record.inputs)
    except ValueError as error:
        raise UserError(
            f"The inputs of run {record.run_id} cannot be used: {error}.", "Submit it anew, with --input."
        ) from None
    found = []
    for each in recorded:
        kept = _kept(opened, each)
        if kept is None:
            raise UserError(
                f"The input {each.name} of run {record.run_id} ({each.source()}, SHA-256 {each.sha256[:12]}) is in no "
                "artifact store that can be reached from here.",
                f"Make it again (amltool rerun {each.run_id}), or have the clone that made it share it: "
                "amltool artifacts.push",
            )
        found.append(kept)
    return found


def _kept(opened: Opened, wanted: RunInput) -> RunInput | None:
    from msgspec.structs import replace

    store = store_known_by_run(opened, wanted.sha256, wanted.store, wanted.run_id)
    return None if store is None else replace(wanted, store=store.address)


def input_content(opened: Opened, wanted: RunInput) -> Iterator[bytes]:
    """The bytes of an input in blocks, verified while they are read.

    Raises:
        UserError: it is not there any more, or damaged.
    """
    store = store_known_by_run(opened, wanted.sha256, wanted.store, wanted.run_id)
    remedy = f"Make it again: amltool rerun {wanted.run_id}"
    if store is None:
        raise UserError(f"The input {wanted.name} ({wanted.source()}) is in no artifact store any more.", remedy)
    try:
        with store.open(wanted.sha256) as stream:
            while block := stream.read(BLOCK):
                yield block
    except KeyError:
        raise UserError(f"The input {wanted.name} is not in {store.address} any more.", remedy) from None
    except DamagedError as error:
        raise UserError(f"The input {wanted.name} cannot be used. {error.what}", remedy) from None
