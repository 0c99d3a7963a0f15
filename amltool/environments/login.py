"""What a login on another machine sees: the variables that its shell sets there, and the interpreter a user means."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from amltool.errors import TargetError
from amltool.hosts.base import CommandResult, Host
from amltool.hosts.streaming import Stream, StreamingHost

ANSWER_S = 120.0
"""A login that reads its files from a cold network disk takes seconds; listing an interpreter may take a minute."""
SCRIPT = "interpreter_there.py"
MARK = "amltool-login-{}:"
OWN = frozenset(
    {"PWD", "OLDPWD", "SHLVL", "_", "SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "SSH_AUTH_SOCK", "SSH_ORIGINAL_COMMAND"}
)
"""What says how we came there; a run has nothing to do with it."""


class Login:
    """Our user's login on a host, asked once; ``python`` is an interpreter there (3.6 or newer) that asks."""

    def __init__(self, host: Host, python: str = "python3") -> None:
        self._host = host
        self._python = python
        self._variables: dict[str, str] | None = None
        self._lock = threading.Lock()

    def variables(self) -> dict[str, str]:
        """The variables of a login: PATH, HOME, LANG and what the user's own files there set.

        Raises:
            TargetError: the host does not answer.
        """
        with self._lock:
            if self._variables is None:
                self._ask({})
            return dict(self._variables or {})

    def seen(self, host: Host) -> Host:
        """A host whose programs are found on the search path of a login, as the user finds them."""
        return cast("Host", _Seen(host, self.variables().get("PATH", os.defpath)))

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """What ``scripts/interpreter_there.py`` answers to a question; the variables come with every answer.

        Raises:
            TargetError: the host does not answer.
        """
        with self._lock:
            return self._ask(question)

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        mark = MARK.format(os.urandom(8).hex())
        script = (Path(__file__).with_name("scripts") / SCRIPT).read_text("utf-8")
        said = self._host.run(
            [self._python, "-I", "-S", "-c", script],
            input=json.dumps({**question, "mark": mark}).encode("ascii"),
            timeout_s=ANSWER_S,
        )
        try:
            # msgspec refuses the lone surrogates that stand for bytes that are not UTF-8
            answer: dict[str, Any] = json.loads(said.stdout.partition(mark.encode())[2])
            found = {str(name): str(value) for name, value in answer["variables"].items()}
        except (ValueError, KeyError, AttributeError) as error:
            last = said.stderr.decode("utf-8", "backslashreplace").strip().rpartition("\n")[2]
            raise TargetError(
                f"{self._host.name} did not say what a login there sees: {last or error}.",
                f"See that {self._python} runs there (3.6 or newer), then try again.",
            ) from None
        self._variables = {name: value for name, value in found.items() if name not in OWN}
        return answer


class _Seen:
    """A host with another search path for what it runs."""

    def __init__(self, host: Host, path: str) -> None:
        self._host = host
        self._first = ("env", f"PATH={path}")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def run(self, command: Sequence[str], *, input: bytes = b"", timeout_s: float | None = None) -> CommandResult:
        return self._host.run([*self._first, *command], input=input, timeout_s=timeout_s)

    def open_stream(self, command: Sequence[str]) -> Stream:
        return cast("StreamingHost", self._host).open_stream([*self._first, *command])
