"""The building of an image: a build container that is made, fed, followed and made an image of, once.

There is no Dockerfile: the classic builder writes build arguments into the history of the image. A build container gets
what may be secret over standard input and keeps it in memory (scripts/build.sh), so that no layer has it. Its name is
the lock between builders, wherever they are: who cannot have the name follows whoever has it.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import msgspec

from amltool.containers.daemon import ContainerSpec, ContainerState, DockerDaemon, NameTakenError
from amltool.environments.base import Progress
from amltool.environments.building import TAIL, BuildLog
from amltool.environments.hearing import heard
from amltool.errors import TargetError, UserError

BUILD_LABEL = "amltool.build"
PROJECT_LABEL = "amltool.project"
TOP = "/opt/amltool"
ENVIRONMENT = f"{TOP}/environment"
CERTIFICATES = f"{TOP}/ca-certificates.pem"
CACHE_VOLUME = "amltool-packages"
CACHE_LABEL = "amltool.cache"

LAST_LINE = b"# that is all\n"
UNFED = 75
"""What the build script ends with when its builder died before it had said all."""
STARTED_WITHIN_S = 10.0
"""A builder that did not start its container for so long is dead."""
ATTEMPTS = 20
_MARK = "::amltool-"

Done = TypeVar("Done")


class BuildPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A build: ``files`` (a tar archive, unpacked in ``/opt/amltool``) say what is to be done, ``variables`` reach it
    over standard input, ``secrets`` are taken out of all that it says."""

    key: str
    project: str
    image: str
    files: bytes
    variables: Mapping[str, str]
    secrets: tuple[str, ...] = ()
    network: str | None = None
    volumes: tuple[str, ...] = ()

    @property
    def container(self) -> str:
        return build_container(self.key)


class Failure(msgspec.Struct, frozen=True):
    """Why a build failed: the step, the problem where the script knows it (``no-python 3.9.2``), its last lines."""

    step: str
    problem: str
    lines: tuple[str, ...]


class Ends(Generic[Done], msgspec.Struct, frozen=True):
    """What a build leads to: ``find`` gives it when it is there, ``finish`` makes it of a container that ended well,
    ``explain`` says for the user why there will be none."""

    find: Callable[[], Done | None]
    finish: Callable[[str], Done]
    explain: Callable[[Failure], UserError]


def build_container(key: str) -> str:
    """The name of the container that builds an environment."""
    return f"amltool-build-{key}"


class ImageBuild(Generic[Done]):
    """Brings about what a plan is for; whoever else is at it, it is done once."""

    def __init__(self, daemon: DockerDaemon, plan: BuildPlan, ends: Ends[Done], progress: Progress) -> None:
        self._daemon = daemon
        self._plan = plan
        self._ends = ends
        self._progress = progress

    def bring_about(self) -> Done:
        """Build it, or wait for whoever builds it.

        Raises:
            UserError: the build failed.
            TargetError: the daemon does not answer, or the build container is removed again and again.
        """
        for attempt in range(ATTEMPTS):
            done = self._ends.find()
            if done is None:
                done = self._build() or self._with_the_other()
            if done is not None:
                return done
            time.sleep(min(0.05 * (attempt + 1), 1.0))
        raise TargetError(
            "The container that builds the execution environment was removed again and again.",
            "See what removes containers there, then try again.",
        )

    def _build(self) -> Done | None:
        """Be the builder; ``None`` when somebody else is, or took the container away."""
        from concurrent.futures import ThreadPoolExecutor

        self._daemon.make_volume(CACHE_VOLUME, CACHE_LABEL)
        with ThreadPoolExecutor(1) as threads:
            making = threads.submit(self._daemon.create, self._specification())
            try:
                return self._feed_and_follow(making.result())
            except NameTakenError:
                return None
            finally:  # also after a Ctrl-C, which keeps no Docker from making it: half built it is of no use to anybody
                if making.exception() is None:
                    with contextlib.suppress(TargetError):
                        self._daemon.remove(making.result())

    def _specification(self) -> ContainerSpec:
        plan = self._plan
        return ContainerSpec(
            image=plan.image,
            command=["/bin/sh", f"{TOP}/build/build.sh"],
            name=plan.container,
            labels={BUILD_LABEL: plan.key, PROJECT_LABEL: plan.project},
            user="0",
            folder="/",
            volumes=(f"{CACHE_VOLUME}:{TOP}/cache", *plan.volumes),
            temporary=(f"{TOP}/private",),
            network=plan.network,
        )

    def _feed_and_follow(self, container: str) -> Done | None:
        self._daemon.put(container, "/", self._plan.files)
        given = self._daemon.attach(container)
        try:
            self._daemon.start(container)
            given.feed(self._said_privately())
        finally:
            given.close()
        return self._follow(container)

    def _said_privately(self) -> bytes:
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(self._plan.variables.items())]
        return "".join(lines).encode("utf-8", "surrogateescape") + LAST_LINE

    def _with_the_other(self) -> Done | None:
        """Follow the builder that has the name; ``None`` when it is gone, or was dead and its container is removed."""
        state = self._started()
        if state is None:
            return None
        if state.is_running:
            self._progress.say(
                "Another amltool builds this execution environment already: waiting for it "
                f"(the container {self._plan.container})."
            )
            done = self._follow(state.id)
        else:
            done = self._finished_by_the_dead(state)
        with contextlib.suppress(TargetError):
            self._daemon.remove(state.id)
        return done

    def _finished_by_the_dead(self, state: ContainerState) -> Done | None:
        """What a build came to whose builder died before it made the image; ``None`` where it came to nothing."""
        if state.status != "exited" or state.exit_code != 0:
            return None
        try:
            return self._finish(state.id)
        except TargetError:
            return None

    def _started(self) -> ContainerState | None:
        until = time.monotonic() + STARTED_WITHIN_S
        while True:
            state = self._daemon.state(self._plan.container)
            if state is None or not state.is_starting or time.monotonic() > until:
                return state
            time.sleep(0.1)

    def _follow(self, container: str) -> Done | None:
        """Log what it prints until it ends; ``None`` when it was taken away or not fed."""
        output = _Output(self._plan.secrets, self._progress)
        for piece in heard(self._daemon.output(container), self._progress):
            output.take(piece)
        output.take(b"")
        code = None
        if not output.failed:
            with contextlib.suppress(TargetError):
                code = self._daemon.wait(container, STARTED_WITHIN_S)
        if code == 0:
            return self._finish(container)
        if output.failed or (code is not None and code != UNFED):
            raise self._ends.explain(output.failure(code))
        return None

    def _finish(self, container: str) -> Done | None:
        """Make what was built available; somebody else may have done so, and removed the container."""
        try:
            return self._ends.finish(container)
        except TargetError:
            done = self._ends.find()
            if done is None and self._daemon.state(container) is not None:
                raise
            return done


class _Output:
    """What a build container prints: its marks understood, the rest logged without secrets."""

    def __init__(self, secrets: tuple[str, ...], progress: Progress) -> None:
        self._log = BuildLog(self, secrets)
        self._progress = progress
        self._lines: list[str] = []
        self._step = "start"
        self._problem = ""
        self.failed = False

    def take(self, piece: bytes) -> None:
        """The next bytes; none means that there will be no more."""
        self._log.feed(piece)

    def log(self, line: str) -> None:
        """A whole line, from `BuildLog`."""
        if not line.startswith(_MARK):
            self._lines = [*self._lines[-(TAIL - 1) :], line]
            self._progress.log(line)
            return
        mark, _, rest = line.removeprefix(_MARK).partition(" ")
        if mark == "step":
            self._step, self._lines = rest, []
            self._progress.say(f"In the image: {rest}.")
        elif mark == "problem":
            self._problem = self._problem or rest.strip()
        elif mark == "failed":
            self.failed = True

    def say(self, message: str) -> None:
        self._progress.say(message)

    def progress(self, what: str, size: int, total: int | None) -> None:
        self._progress.progress(what, size, total)

    def failure(self, code: int | None) -> Failure:
        return Failure(self._step, self._problem, tuple(self._lines) or (f"(nothing; it ended with {code})",))


def fetch_results(daemon: DockerDaemon, container: str) -> dict[str, bytes]:
    """What the build script described: name -> content of the files in ``/opt/amltool/results``."""
    import io
    import tarfile

    content = io.BytesIO(b"".join(daemon.get(container, f"{TOP}/results") or ()))
    found: dict[str, bytes] = {}
    if content.getbuffer().nbytes:
        with tarfile.open(fileobj=content) as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.isreg() else None
                if stream is not None:
                    found[member.name.rpartition("/")[2]] = stream.read()
    return found
