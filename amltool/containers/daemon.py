"""A Docker daemon: what amltool asks of it, in amltool's words and with amltool's errors.

The one door to Docker: nothing outside this folder imports the ``docker`` package. What a submit with nothing changed
asks, and what follows its run, is asked in JSON (`asking`), most often without that package.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from amltool.configuration.docker_names import is_docker_name, is_image
from amltool.containers.address import proxies_here, socket_here
from amltool.containers.asking import RefusedError
from amltool.containers.connection import Connection, connect
from amltool.containers.refusals import container_refused, no_image, said_by
from amltool.containers.values import (
    STOP_SIGNAL,
    ContainerInput,
    ContainerSpec,
    ContainerState,
    Image,
    Kept,
    Mount,
    NameTakenError,
    creation,
    seconds_of,
)
from amltool.errors import UserError
from amltool.hosts.local import LocalHost

if TYPE_CHECKING:
    from docker.api.client import APIClient

__all__ = [
    "STOP_SIGNAL",
    "ContainerInput",
    "ContainerSpec",
    "ContainerState",
    "DockerDaemon",
    "Image",
    "Kept",
    "Mount",
    "NameTakenError",
    "connect",
]

DISK_USAGE_S = 60.0
"""How long others may be asking what its disk holds, in seconds: it answers one client at a time."""
PATIENT_ANSWER_S = 3600
_DELETED = 2


def load(*, here: bool = True) -> None:
    """Load what asking a daemon takes, while something else is waited for: for one that is not at a socket ``here``
    Docker's package, which takes 0.1 s; no effect without it."""
    if here and socket_here() is not None:
        return
    with contextlib.suppress(ImportError):
        import docker.api.client  # noqa: F401


class DockerDaemon(Connection):
    """The daemon of a host. Every method may raise TargetError: the daemon does not answer, which says nothing about
    what runs in it."""

    def afresh(self) -> DockerDaemon:
        """The same daemon, to be asked over a new connection: one that is going down still answers on the old ones."""
        return DockerDaemon(self._host)

    def version(self) -> str:
        """The daemon's version."""
        return str(self._learn("/version")["Version"])

    def security(self) -> set[str]:
        """What the daemon confines containers with: ``rootless``, ``userns``, ``selinux``, ``seccomp`` …"""
        options = self._learn("/info").get("SecurityOptions") or []
        return {option.removeprefix("name=").partition(",")[0] for option in options}

    # images

    def image(self, name: str) -> Image | None:
        """An image by name, digest or id; ``None`` where it is not there."""
        try:
            found = self._ask("GET", f"/images/{quote(_image(name), safe='/:')}/json")
        except RefusedError as error:
            if error.status == 404:
                return None
            raise self._unexpected(error) from error
        configuration = found.get("Config") or {}
        return Image(
            id=found["Id"],
            tags=found.get("RepoTags") or [],
            digest=next(iter(found.get("RepoDigests") or []), None),
            size=found.get("Size", 0),
            labels=configuration.get("Labels") or {},
            variables=dict(entry.split("=", 1) for entry in configuration.get("Env") or [] if "=" in entry),
            architecture=f"{found.get('Os', 'linux')}/{found.get('Architecture', '')}",
        )

    def pull(self, name: str) -> Iterator[dict[str, Any]]:
        """Fetch an image; gives the daemon's own messages (``status``, ``id``, ``progressDetail``).

        Raises:
            UserError: there is no such image, or its registry cannot be reached or wants a login.
        """
        from docker.errors import APIError

        repository, tag = _parted(_image(name))
        with self._asked() as api:
            try:
                for message in api.pull(repository, tag=tag, stream=True, decode=True):
                    if "error" in message:
                        raise no_image(name, str(message["error"]))
                    yield message
            except APIError as error:
                raise no_image(name, said_by(error)) from error

    def registry_digest(self, name: str) -> str | None:
        """The digest (``sha256:…``) that an image's name stands for in its registry; ``None`` where it does not say."""
        from docker.errors import APIError

        asked_of = _image(name)
        with self._asked() as api:
            try:
                return str(api.inspect_distribution(asked_of)["Descriptor"]["digest"])
            except (APIError, KeyError, TypeError):
                return None

    def proxies(self) -> dict[str, str]:
        """The proxies that this user told Docker to give to containers (``~/.docker/config.json``), as variables."""
        if isinstance(self._host, LocalHost):
            return proxies_here()
        with self._asked() as api:
            environment: list[str] = api._proxy_configs.inject_proxy_environment([]) or []
        return dict(entry.split("=", 1) for entry in environment)

    def images(self, label: str) -> list[Kept]:
        """Images with a label (``name`` or ``name=value``), each once, whatever names it has."""
        with self._asked() as api:
            found = api.images(filters={"label": label})
        return [
            Kept(image["Id"], next(iter(image.get("RepoTags") or []), image["Id"]), image["Size"],
                 image.get("Labels") or {})
            for image in found
        ]  # fmt: skip

    def tag(self, image: str, name: str) -> None:
        """Give an image one more name."""
        repository, tag = _parted(_image(name))
        with self._asked() as api:
            api.tag(image, repository, tag, force=True)

    def remove_image(self, name: str) -> None:
        """Remove an image with all its names; none is fine.

        Raises:
            UserError: a container uses it.
        """
        from docker.errors import APIError, NotFound

        removed = _image(name)
        with self._asked() as api, _patient(api):
            try:
                api.remove_image(removed, force=True)
            except NotFound:
                return
            except APIError as error:
                raise UserError(
                    f"The image {name} cannot be removed: {said_by(error)}.", "Remove what uses it."
                ) from error

    # containers

    def create(self, spec: ContainerSpec) -> str:
        """Make a container, its standard input open; gives its id.

        Raises:
            NameTakenError: there is one of that name.
            UserError: it cannot be made as asked (no such network, a folder to mount that is not there …).
        """
        try:
            made = self._ask("POST", "/containers/create", {"name": spec.name}, creation(spec))
        except RefusedError as error:
            if error.status == 409 and "already in use" in error.said:
                raise NameTakenError(spec.name) from None
            raise container_refused(self._host.name, f"The container {spec.name} cannot be made", error.said) from error
        return str(made["Id"])

    def attach(self, container: str) -> ContainerInput:
        """The standard input of a container; before it is started."""
        try:
            return ContainerInput(self._asking.take_input(container))
        except RefusedError as error:
            raise self._unexpected(error) from error
        except OSError as error:
            raise self._silent(error) from error

    def start(self, container: str) -> None:
        """Start it; one that runs is left alone.

        Raises:
            UserError: it cannot be started as asked: no GPU, no such program …
        """
        try:
            self._ask("POST", f"/containers/{_container(container)}/start")
        except RefusedError as error:
            raise container_refused(self._host.name, "The container cannot be started", error.said) from error

    def state(self, container: str) -> ContainerState | None:
        """How a container is, by name or id; ``None`` where there is none."""
        try:
            found = self._ask("GET", f"/containers/{_container(container)}/json")
        except RefusedError as error:
            if error.status == 404:
                return None
            raise self._unexpected(error) from error
        state = found["State"]
        return ContainerState(
            found["Id"], state["Status"], state["ExitCode"], bool(state["OOMKilled"]), state["Error"],
            (found["Config"] or {}).get("Labels") or {},
        )  # fmt: skip

    def wait(self, container: str, timeout_s: float) -> int | None:
        """The exit code of a container when it ends within so many seconds; ``None`` when not, or it is gone."""
        from docker.errors import NotFound
        from requests.exceptions import ConnectionError as ConnectionFailed
        from requests.exceptions import ReadTimeout

        with self._asked() as api:
            try:
                return int(api.wait(container, timeout=timeout_s)["StatusCode"])
            except NotFound:
                return None
            except (ReadTimeout, ConnectionFailed) as error:
                if "timed out" in str(error).lower():
                    return None
                raise

    def signal(self, container: str, name: str) -> None:
        """Send a signal to the first process of a container; one that is over or gone is left alone."""
        self._ask_unless((404, 409), "POST", f"/containers/{_container(container)}/kill", {"signal": name})

    def pause(self, container: str) -> None:
        """Freeze all that runs in a container; one that does not run, or cannot be frozen, is left alone."""
        with contextlib.suppress(RefusedError):
            self._ask("POST", f"/containers/{_container(container)}/pause")

    def resume(self, container: str) -> None:
        """The opposite of `pause`."""
        with contextlib.suppress(RefusedError):
            self._ask("POST", f"/containers/{_container(container)}/unpause")

    def was_killed(self, container: str) -> bool:
        """Whether the daemon (since it started) was asked to kill a container outright."""
        with self._asked() as api:
            now = seconds_of(api.info()["SystemTime"])  # of its clock: what is later than that it would wait for
            events = api.events(
                since="0",
                until=f"{now:.9f}",
                filters={"container": container, "event": "kill"},
                decode=True,
            )
            return any((each["Actor"].get("Attributes") or {}).get("signal") in ("9", "SIGKILL") for each in events)

    def remove(self, container: str) -> None:
        """Remove a container, killing what runs in it; none is fine."""
        query = {"force": "true", "v": "true"}
        # 409: somebody else is removing it
        self._ask_unless(
            (404, 409), "DELETE", f"/containers/{_container(container)}", query, timeout_s=PATIENT_ANSWER_S
        )

    def containers(self, label: str) -> list[Kept]:
        """Containers with a label, running or not; ``size`` is what they wrote."""
        with self._asked() as api:
            found = api.containers(all=True, size=True, filters={"label": label})
        return [
            Kept(each["Id"], each["Names"][0].lstrip("/"), each.get("SizeRw") or 0, each.get("Labels") or {},
                 each["State"])
            for each in found
        ]  # fmt: skip

    def output(self, container: str) -> Iterator[bytes]:
        """What a container prints, from its beginning to its end, both streams, in pieces."""
        from docker.errors import NotFound

        with self._asked() as api, contextlib.suppress(NotFound):
            yield from api.logs(container, stream=True, follow=True)

    def execute(self, container: str, command: Sequence[str]) -> tuple[int, bytes]:
        """Run a short command in a running container: its exit code and standard output.

        Raises:
            UserError: it does not run.
        """
        from docker.errors import APIError

        with self._asked() as api:
            try:
                made = api.exec_create(container, list(command), stderr=False)
                content = api.exec_start(made["Id"])
                return int(api.exec_inspect(made["Id"])["ExitCode"]), bytes(content)
            except APIError as error:
                raise UserError(f"The container does not run: {said_by(error)}.", "Look at the run again.") from error

    def put(self, container: str, folder: str, archive: bytes | Iterable[bytes]) -> None:
        """Unpack a tar archive in a folder of a container (running, ended or not started yet)."""
        with self._asked() as api:
            api.put_archive(container, folder, archive)

    def get(self, container: str, path: str) -> Iterator[bytes] | None:
        """A file or folder of a container as a tar archive; ``None`` where it is not there."""
        from docker.errors import NotFound

        with self._asked() as api:
            try:
                stream, _ = api.get_archive(container, path)
            except NotFound:
                return None
        return self._pieces(stream)

    def changed(self, container: str) -> list[str]:
        """The paths that a container added to its image or changed there, also of what `get` leaves out (sockets);
        bytes that are no UTF-8 are U+FFFD in them."""
        with self._asked() as api, _patient(api):
            return [str(each["Path"]) for each in api.diff(container) or [] if each["Kind"] != _DELETED]

    def commit(self, container: str, name: str, changes: Sequence[str], labels: Mapping[str, str] | None = None) -> str:
        """Make an image of a container that ended; ``changes`` are Dockerfile lines, ``labels`` any text. Gives its
        id. A container of that image has all its labels too."""
        repository, tag = _parted(name)
        with self._asked() as api, _patient(api):
            made = api.commit(
                container, repository, tag, changes="\n".join(changes), conf={"Labels": dict(labels or {})}
            )
        return str(made["Id"])

    # volumes

    def make_volume(self, name: str, label: str) -> None:
        """Make a volume (a folder that the daemon keeps) with a label; one of that name is left as it is."""
        with self._asked() as api:
            api.create_volume(name, labels={label: ""})

    def volumes(self, label: str) -> list[Kept]:
        """Volumes with a label; the daemon adds up their size, which takes time."""
        with self._asked() as api, _patient(api):
            found = api.volumes(filters={"label": label}).get("Volumes") or []
            if not found:
                return []
            used = {each["Name"]: each.get("UsageData") or {} for each in _disk_usage(api).get("Volumes") or []}
        return [
            Kept(each["Name"], each["Name"], max(used.get(each["Name"], {}).get("Size", 0), 0),
                 each.get("Labels") or {})
            for each in found
        ]  # fmt: skip

    def remove_volume(self, name: str) -> None:
        """Remove a volume; none, or one in use, is left alone."""
        from docker.errors import APIError

        with self._asked() as api:
            try:
                api.remove_volume(name)
            except APIError as error:
                if error.status_code not in (404, 409):
                    raise


@contextlib.contextmanager
def _patient(api: APIClient) -> Iterator[None]:
    """Wait longer for an answer: gigabytes are written or removed before there is one."""
    before = api.timeout
    api.timeout = PATIENT_ANSWER_S
    try:
        yield
    finally:
        api.timeout = before


def _disk_usage(api: APIClient) -> Any:
    """What the daemon says of its disk; it looks for one client at a time, and refuses all others."""
    from docker.errors import APIError

    until = time.monotonic() + DISK_USAGE_S
    while True:
        try:
            return api.df()
        except APIError as error:
            if "already running" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.2)


def _image(name: str) -> str:
    """The name, if it is an image's: it may come from a record or a file, and becomes a part of an address."""
    if not is_image(name):
        raise UserError(
            f"{name[:200]!r} is no image's name.", "Name one in baseDockerImage, such as registry/name:tag."
        )
    return name


def _container(name: str) -> str:
    if not is_docker_name(name):
        raise UserError(f"{name[:200]!r} is no container's name or id.", "See those there are: docker ps --all")
    return name


def _parted(name: str) -> tuple[str, str | None]:
    """Repository and tag of an image's name; a digest counts as a tag, as the daemon takes it."""
    if "@" in name:
        repository, _, digest = name.partition("@")
        return repository, digest
    head, colon, tag = name.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (name, "latest")
