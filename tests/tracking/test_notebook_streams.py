"""Messages of a kernel that come when their cell is over, in the order they may come."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from amltool.tracking.notebook_streams import LateOutputs

Message = dict[str, Any]


class Notebook:
    """Takes messages as nbclient does: those of the cell that runs, until it is over."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.waiting = list(messages)
        self.taken: list[tuple[str, int]] = []
        self.client = SimpleNamespace(iopub_channel=SimpleNamespace(get_msg=self._get))
        self.late = LateOutputs(self.client, self._take)

    async def _get(self, **_: Any) -> Message:
        return self.waiting.pop(0)

    def _take(self, message: Message, _: Any, index: int) -> None:
        self.late.begin(message, None, index)
        self.taken.append((str(message["content"]), index))

    def execute(self, *cells: str) -> list[tuple[str, int]]:
        async def executed() -> None:
            for index, cell in enumerate(cells):
                while True:
                    message = await self.client.iopub_channel.get_msg(timeout=None)
                    if message["parent_header"].get("msg_id") != cell:
                        continue
                    self._take(message, None, index)
                    if message["content"] == "idle":
                        break

        asyncio.run(executed())
        return self.taken


def said(cell: str, content: str, kind: str = "stream") -> Message:
    return {"msg_type": kind, "parent_header": {"msg_id": cell} if cell else {}, "content": content}


@pytest.mark.parametrize("kind", ["stream", "display_data"])
def test_what_comes_when_its_cell_is_over_is_taken_for_that_cell(kind: str) -> None:
    notebook = Notebook([said("a", "idle", "status"), said("b", "1"), said("a", "late", kind), said("b", "idle")])
    assert notebook.execute("a", "b") == [("idle", 0), ("1", 1), ("late", 0), ("idle", 1)]


def test_what_comes_late_twice_does_not_make_an_old_cell_the_one_that_runs() -> None:
    late = [said("a", "late"), said("a", "later")]
    notebook = Notebook([said("a", "idle"), said("b", "1"), *late, said("b", "2"), said("b", "idle")])
    assert [content for content, _ in notebook.execute("a", "b")] == ["idle", "1", "late", "later", "2", "idle"]


def test_what_belongs_to_no_cell_or_tells_of_an_end_is_left_alone() -> None:
    others = [said("", "x"), said("z", "y"), said("a", "idle", "status")]
    notebook = Notebook([said("a", "idle"), said("b", "1"), *others, said("b", "idle")])
    assert notebook.execute("a", "b") == [("idle", 0), ("1", 1), ("idle", 1)]
