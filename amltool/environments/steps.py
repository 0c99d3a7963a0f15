"""The steps of a build on a host: their variables go over standard input, their output to the log as it comes."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from amltool.environments.building import BuildLog, BuildVariables, build_failed
from amltool.environments.hearing import heard, heard_here
from amltool.hosts.base import Host
from amltool.hosts.local import LocalHost
from amltool.hosts.streaming import StreamingHost, streaming

CHUNK = 1 << 16
UNSET = (
    "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV",
    "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "PIP_CONSTRAINT", "PIP_REQUIREMENT",
    "UV_PROJECT_ENVIRONMENT", "UV_CONSTRAINT", "UV_OVERRIDE",
)  # fmt: skip
"""Variables of the user's shell that would have a build put packages elsewhere, or put others in."""
AS_UV_READS = {
    "UV_INDEX_URL": "PIP_INDEX_URL", "UV_EXTRA_INDEX_URL": "PIP_EXTRA_INDEX_URL", "SSL_CERT_FILE": "PIP_CERT",
}  # fmt: skip
"""What a user has set for pip holds for uv too, which does not read it: else it would look elsewhere than pip."""
CONSTANT = {"PYTHONNOUSERSITE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "NO_COLOR": "1"}


class Steps:
    """Runs the commands of one build in its folder; the first that fails ends it."""

    def __init__(self, host: Host, folder: PurePosixPath, variables: BuildVariables, log: BuildLog) -> None:
        self.host = host
        self.folder = folder
        self._variables = {**CONSTANT, **variables.variables}
        self._log = log

    def on(self, host: Host, folder: PurePosixPath, variables: dict[str, str], *, more: bool = False) -> Steps:
        """Steps of the same build on another host or in another folder; with ``more`` the variables are added."""
        known = {**self._variables, **variables} if more else variables
        return Steps(host, folder, BuildVariables(known, ()), self._log)

    def say(self, message: str) -> None:
        """Tell whoever waits for the build."""
        self._log.progress.say(message)

    def progress(self, what: str, size: int, total: int | None) -> None:
        """As `Progress.progress`."""
        self._log.progress.progress(what, size, total)

    def run(self, what: str, command: Sequence[str], remedy: str) -> None:
        """Run a command; ``what`` names the step in the sentence about its failure.

        Raises:
            UserError: it failed; with the last lines of its output and ``remedy``.
        """
        self._log.lines = []
        exit_code = self._run(command)
        self._log.feed(b"")
        if exit_code:
            ended = f" (exit code {exit_code})" if exit_code > 0 else f" (signal {-exit_code})"
            raise build_failed(what + ended, self._log.lines, remedy)

    def _run(self, command: Sequence[str]) -> int:
        if isinstance(self.host, LocalHost):
            return self._stream(command)
        talking = streaming(self.host)
        if talking is not None:
            return self._stream_there(talking, command)
        result = self.host.run(["sh", "-s"], input=self._script(f"exec {shlex.join(command)} 2>&1 </dev/null"))
        self._log.feed(result.stdout + result.stderr)
        return result.exit_code

    def _stream(self, command: Sequence[str]) -> int:
        """Here the output is seen while it comes, and all that the command started dies with us, even by SIGKILL."""
        process = subprocess.Popen(
            ["sh", "-s"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - they are pipes
        try:
            process.stdin.write(self._script(_WATCHED.format(shlex.join(command))))
            process.stdin.flush()
            for chunk in heard_here(process.stdout.fileno(), self._log.progress):
                self._log.feed(chunk)
            return process.wait()
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            process.stdin.close()
            process.stdout.close()

    def _stream_there(self, host: StreamingHost, command: Sequence[str]) -> int:
        """As `_stream`: what is cut off from us over there sees the end of its input, and ends."""
        with contextlib.closing(host.open_stream(["sh", "-s"])) as stream:
            stream.write(b"exec 2>&1\n" + self._script(_WATCHED.format(shlex.join(command))))
            for chunk in heard(iter(lambda: stream.read(CHUNK), b""), self._log.progress):
                self._log.feed(chunk)
            return stream.wait()

    def _script(self, last: str) -> bytes:
        lines = [f"unset {' '.join(UNSET)}", *_exports(self._variables.items())]
        lines += [
            f'[ -n "${{{uv}-}}" ] || [ -z "${{{pip}-}}" ] || export {uv}="${pip}"' for uv, pip in AS_UV_READS.items()
        ]
        lines += [f"cd {shlex.quote(str(self.folder))} || exit 97", last]
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def _exports(variables: Iterable[tuple[str, str]]) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in variables]


_WATCHED = """{{ exec 3<&0
{0} </dev/null 3<&- &
command=$!
{{ cat <&3; kill -9 0; }} >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait $command; code=$?
kill $watch
exit $code; }}"""
"""Standard input stays open as long as we live; at its end the whole session is killed."""
