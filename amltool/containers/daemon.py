"""A Docker daemon: what amltool asks of it, in amltool's words and with amltool's errors.

The one door to Docker: nothing else imports the ``docker`` package, and that only when a daemon is asked for the first
time (it takes 0.1 s to load).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from amltool.containers.refusals import no_daemon, no_image, said_by
from amltool.containers.values import (
    ContainerInput,
    ContainerSpec,
    ContainerState,
    Image,
    Kept,
    Mount,
    NameTakenError,
    host_configuration,
)
from amltool.errors import MissingExtraError, TargetError, UserError
from amltool.hosts.base import Host
from amltool.hosts.local import LocalHost

if TYPE_CHECKING:
    from docker.api.client import APIClient

__all__ = [
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

ANSWER_S = 60
"""How long the daemon may take for an answer; on a busy machine a start takes seconds."""
DISK_USAGE_S = 60.0
"""How long others may be asking what its disk holds, in seconds: it answers one client at a time."""
PATIENT_ANSWER_S = 3600
STOP_SIGNAL = "SIGPWR"
"""What `docker stop`, and a daemon or machine that shuts down, send to our containers: our own cancel is SIGTERM."""
_NO_GPU = ("could not select device driver", "nvidia-container-cli", "GPU vendor", "unresolvable CDI devices")
"""How Docker says that it has none: by version and by what is missing."""


def load() -> None:
    """Load Docker's package, which takes 0.1 s, while something else is waited for; no effect without it."""
    with contextlib.suppress(ImportError):
        import docker.api.client  # noqa: F401


class DockerDaemon:
    """The daemon of a host. Every method may raise TargetError: the daemon does not answer, which says nothing about
    what runs in it."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @cached_property
    def _api(self) -> APIClient:
        return connect(self._host)

    def connect(self) -> None:
        """Be ready to ask: load the package and find the daemon."""
        _ = self._api

    def afresh(self) -> DockerDaemon:
        """The same daemon, to be asked over a new connection: one that is going down still answers on the old ones."""
        return DockerDaemon(self._host)

    def version(self) -> str:
        """The daemon's version."""
        with self._asked() as api:
            return str(api.version()["Version"])

    def security(self) -> set[str]:
        """What the daemon confines containers with: ``rootless``, ``userns``, ``selinux``, ``seccomp`` …"""
        with self._asked() as api:
            options = api.info().get("SecurityOptions") or []
        return {option.removeprefix("name=").partition(",")[0] for option in options}

    def start_mark(self) -> str:
        """What is different after every start of the daemon: the time it made its default network."""
        with self._asked() as api:
            found = api.networks(names=["bridge"])
            return next((str(network["Created"]) for network in found if network["Name"] == "bridge"), "")

    # images

    def image(self, name: str) -> Image | None:
        """An image by name, digest or id; ``None`` where it is not there."""
        from docker.errors import ImageNotFound, NotFound

        with self._asked() as api:
            try:
                found = api.inspect_image(name)
            except (ImageNotFound, NotFound):
                return None
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

        repository, tag = _parted(name)
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

        with self._asked() as api:
            try:
                return str(api.inspect_distribution(name)["Descriptor"]["digest"])
            except (APIError, KeyError, TypeError):
                return None

    def proxies(self) -> dict[str, str]:
        """The proxies that this user told Docker to give to containers (``~/.docker/config.json``), as variables."""
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
        repository, tag = _parted(name)
        with self._asked() as api:
            api.tag(image, repository, tag, force=True)

    def remove_image(self, name: str) -> None:
        """Remove an image with all its names; none is fine.

        Raises:
            UserError: a container uses it.
        """
        from docker.errors import APIError, NotFound

        with self._asked() as api, _patient(api):
            try:
                api.remove_image(name, force=True)
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
        from docker.errors import APIError

        with self._asked() as api:
            try:
                made = api.create_container(
                    spec.image,
                    command=list(spec.command[1:]),
                    entrypoint=[spec.command[0]],
                    name=spec.name,
                    labels=dict(spec.labels),
                    user=spec.user,
                    working_dir=spec.folder,
                    host_config=host_configuration(api, spec),
                    stdin_open=True,
                    stop_signal=STOP_SIGNAL,
                    use_config_proxy=False,  # it would set variables that anybody can see; `proxies` has them
                )
            except APIError as error:
                if error.status_code == 409 and "already in use" in said_by(error):
                    raise NameTakenError(spec.name) from None
                raise self._refused(f"The container {spec.name} cannot be made", error) from error
        return str(made["Id"])

    def attach(self, container: str) -> ContainerInput:
        """The standard input of a container; before it is started."""
        with self._asked() as api:
            return ContainerInput(api.attach_socket(container, params={"stdin": 1, "stream": 1}))

    def start(self, container: str) -> None:
        """Start it; one that runs is left alone.

        Raises:
            UserError: it cannot be started as asked: no GPU, no such program …
        """
        from docker.errors import APIError

        with self._asked() as api:
            try:
                api.start(container)
            except APIError as error:
                if any(sign in said_by(error) for sign in _NO_GPU):
                    raise UserError(
                        f"Docker on {self._host.name} has no GPU to give: {said_by(error)}.",
                        "Install the NVIDIA driver and nvidia-container-toolkit there, or take gpu and nvidiaDocker "
                        "out of the .compute.",
                    ) from None
                raise self._refused("The container cannot be started", error) from error

    def state(self, container: str) -> ContainerState | None:
        """How a container is, by name or id; ``None`` where there is none."""
        from docker.errors import NotFound

        with self._asked() as api:
            try:
                found = api.inspect_container(container)
            except NotFound:
                return None
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
        from docker.errors import APIError

        with self._asked() as api:
            try:
                api.kill(container, name)
            except APIError as error:
                if error.status_code not in (404, 409):
                    raise

    def pause(self, container: str) -> None:
        """Freeze all that runs in a container; one that does not run, or cannot be frozen, is left alone."""
        from docker.errors import APIError

        with self._asked() as api, contextlib.suppress(APIError):
            api.pause(container)

    def resume(self, container: str) -> None:
        """The opposite of `pause`."""
        from docker.errors import APIError

        with self._asked() as api, contextlib.suppress(APIError):
            api.unpause(container)

    def was_killed(self, container: str, since_s: float, until_s: float) -> bool:
        """Whether the daemon (since it started) was asked to kill a container outright, between two times."""
        with self._asked() as api:
            events = api.events(
                since=f"{since_s:.9f}",
                until=f"{until_s:.9f}",  # nothing later than now: the daemon would wait for it
                filters={"container": container, "event": "kill"},
                decode=True,
            )
            return any((each["Actor"].get("Attributes") or {}).get("signal") in ("9", "SIGKILL") for each in events)

    def remove(self, container: str) -> None:
        """Remove a container, killing what runs in it; none is fine."""
        from docker.errors import APIError

        with self._asked() as api, _patient(api):
            try:
                api.remove_container(container, force=True, v=True)
            except APIError as error:
                if error.status_code not in (404, 409):  # 409: somebody else is removing it
                    raise

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

    def _refused(self, what: str, error: Exception) -> UserError:
        said = said_by(error)
        if "no space left" in said.lower():
            return UserError(
                f"{what}: the disk of Docker on {self._host.name} is full ({said}).",
                "Make room there (docker system df, amltool clean), then try again.",
            )
        if "No such image" in said:
            return UserError(f"{what}: its image was removed meanwhile ({said}).", "Submit again: it is built anew.")
        if "source path does not exist" in said:
            return UserError(f"{what}: {said}.", "Make that folder, or take it out of `volumes` in the .compute.")
        return UserError(f"{what}: {said}.", "Mend that in the .compute, or its image.")

    def _pieces(self, stream: Iterator[bytes]) -> Iterator[bytes]:
        with self._asked():
            yield from stream

    @contextlib.contextmanager
    def _asked(self) -> Iterator[APIClient]:
        api = self._api
        from docker.errors import DockerException
        from requests.exceptions import RequestException
        from urllib3.exceptions import HTTPError

        try:
            yield api
        except (DockerException, RequestException, HTTPError, OSError) as error:
            raise TargetError(
                f"Docker on {self._host.name} did not do what it was asked: {said_by(error)}.",
                "See that it runs (docker version), then try again.",
            ) from error


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


def connect(host: Host) -> APIClient:
    """A client of the daemon of a host: on this machine that of ``DOCKER_HOST``, else of Docker's current context, else
    of the usual socket; on another one that of the ``docker`` command there.

    Raises:
        MissingExtraError: the ``docker`` package is not installed.
        TargetError: no daemon answers, or it does not let this user in.
    """
    try:
        from docker.api.client import APIClient
        from docker.errors import DockerException
    except ImportError:
        raise MissingExtraError("A compute target with Docker", "docker") from None
    if not isinstance(host, LocalHost):
        from amltool.containers.over_ssh import DockerHost, connect_there

        return connect_there(cast("DockerHost", host), ANSWER_S)
    try:
        return APIClient(version="auto", timeout=ANSWER_S, **_connection())
    except (DockerException, OSError, ValueError) as error:  # ValueError: DOCKER_HOST is no address
        raise no_daemon(host.name, error) from error


def _connection() -> dict[str, Any]:
    from docker.utils import kwargs_from_env

    given = kwargs_from_env()
    if given.get("base_url") or not (os.environ.get("DOCKER_CONTEXT") or _has_contexts()):
        return dict(given)
    from docker.context import ContextAPI

    context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT")) or ContextAPI.get_current_context()
    if context is None or not context.Host:
        return dict(given)
    return {"base_url": context.Host, "tls": context.TLSConfig or False}


def _has_contexts() -> bool:
    """Whether this user ever chose a context: nothing but the file of the choice is looked at."""
    folder = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")  # noqa: PTH118, PTH111
    return os.path.exists(os.path.join(folder, "config.json"))  # noqa: PTH110, PTH118


def _parted(name: str) -> tuple[str, str | None]:
    """Repository and tag of an image's name; a digest counts as a tag, as the daemon takes it."""
    if "@" in name:
        repository, _, digest = name.partition("@")
        return repository, digest
    head, colon, tag = name.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (name, "latest")
