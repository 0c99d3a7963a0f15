"""Executed notebooks hold no clock and no chance: two that computed the same are the same bytes."""

from __future__ import annotations

import json
import uuid
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from amltool.tracking.notebook_contents import WIDGETS, ids_in, settle_ids, settled


class Notebook(dict[str, Any]):
    """As nbformat has them: keys that are attributes too."""

    @property
    def cells(self) -> list[dict[str, Any]]:
        return self["cells"]


def stream(name: str, text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text.splitlines(True)}


def text_of(notebook: dict[str, Any], kernel: int | None = None) -> str:
    return settled(json.dumps(notebook, indent=1, sort_keys=True), notebook, kernel)


def test_which_stream_was_flushed_first_is_not_seen() -> None:
    shown = {"output_type": "display_data", "data": {}}
    one = [stream("stdout", "a\nb"), stream("stderr", "x\n"), stream("stdout", "c\n"), shown, stream("stdout", "d\n")]
    other = [stream("stderr", "x\n"), stream("stdout", "a\n"), stream("stdout", "bc\n"), shown, stream("stdout", "d\n")]
    first, second = (text_of({"cells": [{"outputs": outputs}]}) for outputs in (one, other))
    assert first == second
    [cell] = json.loads(first)["cells"]
    assert [output.get("text") for output in cell["outputs"]] == [["a\n", "bc\n"], ["x\n"], None, ["d\n"]]


def test_the_process_number_of_the_kernel_is_not_in_its_warnings() -> None:
    written = text_of({"cells": [{"outputs": [stream("stderr", "/tmp/ipykernel_417/3.py:1: UserWarning")]}]}, 417)
    assert "/tmp/ipykernel/3.py:1: UserWarning" in written


@given(st.lists(st.uuids(), min_size=1, max_size=5, unique=True), st.booleans())
def test_widgets_are_numbered_in_the_order_they_were_made(names: list[uuid.UUID], hexadecimal: bool) -> None:
    def notebook(ids: list[str]) -> dict[str, Any]:
        state = {name: {"state": {"layout": f"IPY_MODEL_{name}"}} for name in ids}
        view = {"data": {"application/vnd.jupyter.widget-view+json": {"model_id": ids[0]}}}
        return {"metadata": {"widgets": {WIDGETS: {"state": state}}}, "cells": [{"outputs": [view]}]}

    ids = [name.hex if hexadecimal else str(name) for name in names]
    others = [uuid.uuid4().hex for _ in names]
    assert text_of(notebook(ids)) == text_of(notebook(others))


def test_a_cell_without_an_id_gets_one_by_its_place(tmp_path: Any) -> None:
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [{"id": "mine"}, {}, {"id": "amltool-1"}]}))
    known = ids_in(str(tmp_path / "a.ipynb"))
    notebook = Notebook(nbformat_minor=5, cells=[{"id": "mine"}, {"id": "chance"}, {"id": "amltool-1"}, {"id": "mine"}])
    settle_ids(notebook, known)
    ids = [cell["id"] for cell in notebook.cells]
    assert (ids[0], ids[2], len(set(ids))) == ("mine", "amltool-1", 4)
    again = Notebook(nbformat_minor=5, cells=[{"id": "mine"}, {"id": "other"}, {"id": "amltool-1"}, {"id": "x"}])
    settle_ids(again, known)
    assert [cell["id"] for cell in again.cells] == ids


def test_what_is_no_notebook_has_no_ids(tmp_path: Any) -> None:
    for content in ("", "[]", "{}", '{"cells": 3}', '{"cells": [3]}', "[" * 100_000):
        (tmp_path / "a.ipynb").write_text(content)
        assert ids_in(str(tmp_path / "a.ipynb")) == set()
    assert ids_in(str(tmp_path / "gone.ipynb")) == set()
