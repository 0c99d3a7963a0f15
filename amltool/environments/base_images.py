"""Base images: found here, or fetched; the digest a name stood for when it was first fetched stays what it means."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

import msgspec

from amltool.containers.daemon import DockerDaemon, Image
from amltool.environments.base import Progress
from amltool.errors import TargetError, UserError
from amltool.hosts.base import Host
from amltool.layout import HostLayout


class Pin(msgspec.Struct, frozen=True):
    """What the name of a base image means on a host: a registry's digest (``name@sha256:…``) and the image's id."""

    name: str
    digest: str
    id: str
    platform: str = ""


class Known(msgspec.Struct, frozen=True):
    """Which image a name means: its id and platform (``linux/amd64``), and whether it is here."""

    id: str
    platform: str
    is_here: bool


class Base(msgspec.Struct, frozen=True):
    """A base image that an environment is built on; ``notices`` are sentences for the user."""

    name: str
    image: Image
    notices: tuple[str, ...] = ()


class BaseImages:
    """The base images of a host."""

    def __init__(self, daemon: DockerDaemon, host: Host) -> None:
        self._daemon = daemon
        self._host = host

    def known(self, name: str) -> Known | None:
        """The image a name means, without fetching it; ``None`` where nothing says which one that is."""
        image = self._daemon.image(name)
        if image is not None:
            return Known(image.id, image.architecture, is_here=True)
        pin = self._pin(name)
        return Known(pin.id, pin.platform, is_here=False) if pin else None

    def bring(self, name: str, progress: Progress) -> Base:
        """The image a name means, fetched where it is not here: as it was when it was first fetched on this host.

        Raises:
            UserError: it cannot be had.
        """
        pin = self._pin(name)
        image = self._daemon.image(name)
        if image is not None:
            return Base(name, image, self._keep_pin(name, image, pin))
        if pin is None:
            self._fetch(name, progress)
            fetched = self._found(name)
            return Base(name, fetched, self._keep_pin(name, fetched, None))
        image = self._daemon.image(pin.digest)
        if image is None:
            image = self._fetch_pinned(pin, progress)
        return Base(name, image, self._moved_in_registry(pin))

    def bring_locked(self, name: str, exactly: str, progress: Progress) -> Base:
        """The image of a lock: ``exactly`` is its digest (``name@sha256:…``), or its id where it has none.

        Raises:
            UserError: it cannot be had any more.
        """
        image = self._daemon.image(exactly)
        if image is not None:
            return Base(name, image)
        if "@" not in exactly:
            raise UserError(
                f"The run was made on the image {name} with the id {exactly}, which is not on {self._host.name}, and "
                "an image without a registry cannot be fetched.",
                "Bring it here from where it still is: docker save there, docker load here.",
            )
        try:
            self._fetch(exactly, progress)
            return Base(name, self._found(exactly))
        except UserError as error:
            raise UserError(
                f"The run was made on the image {exactly} ({name}), which cannot be had any more.\n{error.what}",
                "Bring it here from where it still is (docker save there, docker load here), log in to its registry, "
                "or submit the script anew to build on the image of today.",
            ) from error

    def _fetch_pinned(self, pin: Pin, progress: Progress) -> Image:
        try:
            self._fetch(pin.digest, progress)
            return self._found(pin.digest)
        except UserError as error:
            raise UserError(
                f"{pin.name} stood for {pin.digest} when it was first fetched here, and that cannot be fetched.\n"
                f"{error.what}",
                f"To take what the name stands for today: docker pull {pin.name}",
            ) from error

    def _fetch(self, name: str, progress: Progress) -> None:
        """Pull with live progress, summed over the image's layers."""
        progress.say(f"Fetching the image {name}.")
        done: dict[str, int] = {}
        sizes: dict[str, int] = {}
        for message in self._daemon.pull(name):
            layer, detail = str(message.get("id", "")), message.get("progressDetail") or {}
            if message.get("status") == "Downloading" and detail.get("total"):
                sizes[layer] = int(detail["total"])
                now = int(detail.get("current") or 0)
            elif message.get("status") in ("Download complete", "Pull complete"):
                now = sizes.get(layer, 0)
            else:
                continue
            more = now - done.get(layer, 0)
            if more > 0:
                done[layer] = now
                progress.progress(f"fetching {name}", more, sum(sizes.values()))

    def _found(self, name: str) -> Image:
        image = self._daemon.image(name)
        if image is None:
            raise TargetError(f"The image {name} was fetched and is gone again.", "Try again.")
        return image

    def _keep_pin(self, name: str, image: Image, pin: Pin | None) -> tuple[str, ...]:
        """What is here under a name is what the name means; says so when that is another image than before."""
        if image.digest is None or "@" in name:
            return ()
        if pin is None or pin.id != image.id:
            content = msgspec.json.encode(Pin(name, image.digest, image.id, image.architecture))
            self._host.write(self._pin_path(name), content)
        if pin is not None and pin.id != image.id:
            return (f"The base image {name} is another one than before: {image.digest}, formerly {pin.digest}.",)
        return ()

    def _moved_in_registry(self, pin: Pin) -> tuple[str, ...]:
        now = self._daemon.registry_digest(pin.name)
        if now is None or pin.digest.endswith(now):
            return ()
        notice = (
            f"The base image {pin.name} has moved in its registry, to {now}; environments here are still built on "
            f"{pin.digest}. To build on the new one: docker pull {pin.name}"
        )
        return (notice,)

    def _pin(self, name: str) -> Pin | None:
        content = _read(self._host, self._pin_path(name))
        try:
            return msgspec.json.decode(content, type=Pin) if content else None
        except msgspec.DecodeError:
            return None

    def _pin_path(self, name: str) -> PurePosixPath:
        return images_folder(self._host) / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def images_folder(host: Host) -> PurePosixPath:
    """What is known of images on a host: pins of base images, and lists of what lies in those that users manage."""
    return HostLayout(host.root).cache / "images"


def _read(host: Host, path: PurePosixPath) -> bytes | None:
    try:
        return host.read(path)
    except FileNotFoundError:
        return None
