"""What cells print late, as their threads and child processes do: none of it is lost; standard library, Python 3.6.

nbclient drops a message that comes after the cell it belongs to is over. A kernel reads what child processes print in
a thread of its own (ipykernel's ``OutStream``), so the last lines of a cell's child often come just then.
"""

import asyncio
import binascii
import os
import queue
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Awaitable, Callable, Dict, Optional, Tuple

LATE_KINDS = frozenset(["stream", "display_data"])
"""Messages that may come when their cell is over; others tell of its end."""
LAST_S = 5.0
"""How long the kernel may take to say its last; it takes milliseconds."""
ATTEMPTS = 20
"""A kernel refuses what comes just after a cell that failed."""
PAUSE_S = 0.05


class LateOutputs:
    """Messages of cells that are over, between a kernel's client and nbclient.

    ``take(message, cell, index)`` takes a message of a cell, as ``NotebookClient.process_message``.
    """

    def __init__(self, client: "Any", take: "Callable[[Any, Any, int], Any]") -> None:
        self._client = client
        self._take = take
        self._cells: "Dict[str, Tuple[Any, int]]" = {}
        self._current: "Optional[str]" = None
        self._get: "Callable[..., Awaitable[Any]]" = client.iopub_channel.get_msg
        client.iopub_channel.get_msg = self._next

    def begin(self, message: "Any", cell: "Any", index: int) -> None:
        """Know a message of the cell that is being executed."""
        parent = _parent(message)
        if parent not in self._cells:
            self._current = parent
            self._cells[parent] = cell, index

    async def _next(self, **options: "Any") -> "Any":
        while True:
            message = await self._get(**options)
            if _parent(message) == self._current or not self._is_taken(message):
                return message

    def _is_taken(self, message: "Any") -> bool:
        of = self._cells.get(_parent(message))
        if of is None or message.get("msg_type") not in LATE_KINDS:
            return False
        self._take(message, *of)
        return True

    async def finish(self) -> None:
        """Take what the last cell's child processes printed: all that a kernel of this Python got until now."""
        if self._current is None:
            return
        mark = "amltool-" + binascii.hexlify(os.urandom(16)).decode("ascii")
        until = time.monotonic() + LAST_S
        try:
            asked = await self._write_marks(mark, until)
        except queue.Empty:
            return
        cell, index = self._cells[self._current]
        said = {"stdout": "", "stderr": ""}
        try:
            while not all(mark in text for text in said.values()):
                message = await self._get(timeout=max(0, until - time.monotonic()))
                if _parent(message) != asked or message.get("msg_type") != "stream":
                    self._is_taken(message)
                    continue
                content = message["content"]
                said[content["name"]] = said.get(content["name"], "") + content["text"]
        except queue.Empty:  # a cell may have closed or moved the descriptors
            pass
        for name, text in said.items():
            rest = text.replace(mark, "")
            if rest:
                kind = {"msg_type": "stream"}
                named = {"header": kind, "parent_header": {"msg_id": self._current}}
                self._take(dict(named, content={"name": name, "text": rest}, **kind), cell, index)

    async def _write_marks(self, mark: str, until: float) -> str:
        """Have the kernel write a mark behind all that is on its way in both of its streams; the id of the request."""
        code = "[__import__('os').write(n, %r) for n in (1, 2)]" % mark.encode("ascii")
        asked = ""
        for _ in range(ATTEMPTS):
            asked = self._client.execute(code, silent=True, store_history=False, stop_on_error=False)
            while True:
                reply = await self._client.get_shell_msg(timeout=max(0, until - time.monotonic()))
                if _parent(reply) == asked:
                    break
            if reply["content"].get("status") != "aborted":
                break
            await asyncio.sleep(PAUSE_S)
        return asked


def _parent(message: "Any") -> str:
    return str(message.get("parent_header", {}).get("msg_id", ""))
