"""A slow line made of a process's own hands: each direction has a rate, and what goes in comes out a while later.

Where the kernel can delay (netem) this is not needed; it often cannot, and a line that both sides of a comparison go
through in the same way is fair to both.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

PIECE = 16 * 1024
HELD_S = 0.05
"""The line holds what it carries in so much time beside what is on its way, as a router does."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How long a round trip takes, and how many bits a second go each way."""

    round_trip_s: float
    bits_per_s: float

    def __str__(self) -> str:
        return f"{self.round_trip_s * 1000:g} ms, {self.bits_per_s / 1e6:g} Mbit/s"

    @property
    def bytes_per_s(self) -> float:
        return self.bits_per_s / 8

    @property
    def held(self) -> int:
        """The most bytes one direction takes before it makes the sender wait."""
        return int(self.bytes_per_s * (self.round_trip_s / 2 + HELD_S))


@dataclass(slots=True)
class Line:
    """A line that is there: the port on 127.0.0.1 where it begins, and the bytes that went over it so far."""

    port: int
    sent: int = 0
    received: int = 0

    def count_sent(self, size: int) -> None:
        self.sent += size

    def count_received(self, size: int) -> None:
        self.received += size


@contextlib.contextmanager
def shaped(address: str, port: int, shape: Shape) -> Iterator[Line]:
    """Give a line to an address. A connection over it is made in one round trip, as TCP does."""
    loop = asyncio.new_event_loop()
    line = Line(0)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(shape.round_trip_s)
        there_reader, there_writer = await asyncio.open_connection(address, port)
        ways = (
            _carry(reader, there_writer, shape, line.count_sent),
            _carry(there_reader, writer, shape, line.count_received),
        )
        with contextlib.suppress(asyncio.CancelledError):  # the line is taken down
            await asyncio.gather(*ways)

    server = loop.run_until_complete(asyncio.start_server(accept, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    carrying = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in carrying:
        task.cancel()
    await asyncio.gather(*carrying, return_exceptions=True)


async def _carry(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, shape: Shape, count: Callable[[int], None]
) -> None:
    """One direction: a piece leaves when the line is free, and arrives half a round trip later."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(max(2, shape.held // PIECE))

    async def deliver() -> None:
        while True:
            arrives, piece = await under_way.get()
            await asyncio.sleep(arrives - loop.time())
            if not piece:
                break
            sink.write(piece)
            await sink.drain()
        with contextlib.suppress(OSError):
            sink.write_eof()

    delivering = asyncio.create_task(deliver())
    free = 0.0
    with contextlib.suppress(ConnectionError):
        while not delivering.done():
            piece = await source.read(PIECE)
            count(len(piece))
            free = max(free, loop.time()) + len(piece) / shape.bytes_per_s
            await under_way.put((free + shape.round_trip_s / 2, piece))
            if not piece:
                break
        await delivering
    delivering.cancel()
    with contextlib.suppress(OSError):
        sink.close()
