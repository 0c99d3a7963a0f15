"""Frames: the lengths of a JSON header and of a body, then both; the same in both directions."""

import json
import os
import select
import struct
import threading
from typing import Any, Dict, Tuple

MAGIC = b"\0amltool is there\1\n"
"""Comes before the first frame: what a login shell says before that is no answer of ours."""
FRAME = struct.Struct(">IQ")
BLOCK = 1 << 18
SILENCE_S = 120.0
"""After this time without a word the other side is gone; it says something every `WORD_S` seconds."""
WORD_S = 30.0

Header = Dict[str, Any]


class Source:
    """What the other side sends."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._kept = b""

    def take(self, size: int) -> bytes:
        """Exactly so many bytes; EOFError when there are no more."""
        parts = [self._kept]
        have = len(self._kept)
        while have < size:
            if not select.select([self._handle], [], [], SILENCE_S)[0]:
                raise EOFError
            block = os.read(self._handle, BLOCK)
            if not block:
                raise EOFError
            parts.append(block)
            have += len(block)
        whole = b"".join(parts)
        self._kept = whole[size:]
        return whole[:size]


class Answers:
    """The way back, for all threads."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._lock = threading.Lock()

    def say(self, content: bytes) -> None:
        with self._lock:
            view = memoryview(content)
            while view:
                view = view[os.write(self._handle, view) :]

    def frame(self, header: Header, body: bytes = b"") -> None:
        text = json.dumps(header).encode()
        self.say(FRAME.pack(len(text), len(body)) + text + body)


class Answer:
    """The answer to one request: frames, of which the last says so."""

    def __init__(self, answers: Answers, number: int) -> None:
        self._answers = answers
        self._number = number

    def part(self, body: bytes = b"", **header: Any) -> None:
        self._answers.frame(dict(header, to=self._number, more=True), body)

    def end(self, body: bytes = b"", **header: Any) -> None:
        while len(body) > BLOCK:
            self.part(body[:BLOCK])
            body = body[BLOCK:]
        self._answers.frame(dict(header, to=self._number), body)


def received(source: Source) -> Tuple[Header, bytes]:
    header_size, body_size = FRAME.unpack(source.take(FRAME.size))
    header = json.loads(source.take(header_size).decode())
    return header, source.take(body_size)
