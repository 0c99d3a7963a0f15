"""What image builds of a project left with a daemon: images, interrupted builds, the cache of packages."""

from __future__ import annotations

from collections.abc import Iterator

from amltool.containers.daemon import DockerDaemon, Image
from amltool.environments.base import KeptEnvironment
from amltool.environments.image_build import BUILD_LABEL, CACHE_LABEL, PROJECT_LABEL

ENVIRONMENT_LABEL = "amltool.environment"
BASE_SIZE_LABEL = "amltool.base-size"

IMAGE, BUILD, CACHE = "image", "build container", "package cache"
"""Kinds of what is kept."""


def kept_by(daemon: DockerDaemon, project: str) -> Iterator[KeptEnvironment]:
    """All of it; the size of an image is what removing it gives back: its base does not count, and nothing of one
    that other projects use as well."""
    for each in daemon.images(ENVIRONMENT_LABEL):
        image = daemon.image(each.id)
        if image is not None and (own := _own_names(image, project)):
            others = len(image.tags) > len(own)
            size = 0 if others else max(image.size - int(image.labels.get(BASE_SIZE_LABEL) or 0), 0)
            reason = "other projects use it too, only this name goes" if others else "it can be built again"
            yield _kept(IMAGE, own[0], size, reason, image.labels[ENVIRONMENT_LABEL])
    for container in daemon.containers(BUILD_LABEL):
        # A container of one of our images has the image's labels, and no value in this one.
        ended = container.status not in ("running", "restarting")
        if container.labels.get(BUILD_LABEL) and container.labels.get(PROJECT_LABEL) == project and ended:
            yield _kept(BUILD, container.name, container.size, "a build of an image was interrupted")
    for volume in daemon.volumes(CACHE_LABEL):
        yield _kept(CACHE, volume.name, volume.size, "fetched packages, for the next builds of any project here")


def remove_kept(daemon: DockerDaemon, project: str, kept: KeptEnvironment) -> None:
    """Remove one of them; an image that other projects use as well only loses this project's name.

    Raises:
        UserError: a container uses it.
    """
    if kept.kind == CACHE:
        daemon.remove_volume(kept.place)
    elif kept.kind == BUILD:
        daemon.remove(kept.place)
    elif (image := daemon.image(kept.place)) is not None:
        own = _own_names(image, project)
        for name in own if len(own) < len(image.tags) else [image.id]:
            daemon.remove_image(name)


def image_repository(project: str) -> str:
    """The name of all images of a project, without the tag."""
    return f"amltool/{project}"


def _own_names(image: Image, project: str) -> list[str]:
    """The names that a project gave an image; its id where it has none left (two builders made it at once)."""
    if not image.tags and image.labels.get(PROJECT_LABEL) == project:
        return [image.id]
    return [tag for tag in image.tags if tag.rpartition(":")[0] == image_repository(project)]


def _kept(kind: str, place: str, size: int, reason: str, key: str = "") -> KeptEnvironment:
    return KeptEnvironment(kind=kind, place=place, size=size, key=key, reason=reason)
