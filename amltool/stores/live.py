"""A run that goes on, shown in a store: its state, and the files it writes, for other clones to follow."""

from __future__ import annotations

from typing import Protocol

LARGEST_STATE = 32 << 20
"""Bytes of the state of a run that are read."""


class MovedError(Exception):
    """A file has another length in the store than was thought: ``length`` bytes."""

    def __init__(self, length: int) -> None:
        super().__init__(f"it has {length} bytes")
        self.length = length


class LiveStore(Protocol):
    """States and growing files of the runs of one project. Paths are those of artifacts: ``console.log``, ``logs/x``.

    Every method may raise UserError: the store cannot be used now, with the reason.
    """

    def publish(self, run_id: str, state: bytes) -> None:
        """Replace the state of a run; a reader sees the old or the new one, whole."""
        ...

    def state(self, run_id: str) -> bytes | None:
        """The state of a run; ``None`` where there is none, or it is larger than a state can be."""
        ...

    def runs(self) -> list[str]:
        """The ids of the runs that left something here, the newest first."""
        ...

    def append(self, run_id: str, path: str, position: int, content: bytes) -> int:
        """Add bytes to a file that has ``position`` bytes (0: also one that is not there); gives its new length.

        Two that append at once never both succeed at a position, so no byte is doubled.

        Raises:
            MovedError: it has another length; nothing was added, or what was added had arrived before.
            ValueError: no file can have that name here.
        """
        ...

    def lengths(self, run_id: str) -> dict[str, int]:
        """The files of a run that are shown while it goes on, with their length in bytes."""
        ...

    def read(self, run_id: str, path: str, position: int, most: int) -> bytes:
        """At most so many bytes of a file from a position on; none at its end, or where it is not there (any more)."""
        ...

    def restart(self, run_id: str, path: str) -> None:
        """Forget one file, which began anew."""
        ...

    def finish(self, run_id: str) -> None:
        """Forget the files of a run: its artifacts are in the store now. Nothing there is fine."""
        ...

    def remove(self, run_id: str) -> None:
        """Forget its files and its state: nothing of it ever started."""
        ...
