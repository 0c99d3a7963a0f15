"""The execution environment of a container: an image with the packages that a project's dependency files ask for."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from amltool.configuration.compute import ComputeTarget, default_base_image
from amltool.containers.daemon import DockerDaemon
from amltool.containers.volumes import volumes_on
from amltool.environments.base import EnvironmentRequest, KeptEnvironment, Prepared, Progress
from amltool.environments.base_images import Base, BaseImages, images_folder
from amltool.environments.building import build_circumstances, ca_bundle
from amltool.environments.image_build import BUILD_LABEL, PROJECT_LABEL, Ends, ImageBuild
from amltool.environments.image_contents import Contents, built_contents, check_spark, read_contents, write_contents
from amltool.environments.image_kept import (
    BASE_SIZE_LABEL,
    ENVIRONMENT_LABEL,
    image_repository,
    kept_by,
    remove_kept,
)
from amltool.environments.image_plan import BUILD_VERSION, Surroundings, Wanted, explain, plan_of
from amltool.environments.lock import base_image_of, compare_locks
from amltool.environments.recipe import Recipe, conda_platform, recipe_of
from amltool.files import locked
from amltool.hosts.base import Host
from amltool.hosts.local import LocalHost
from amltool.hosts.streaming import held_there, streaming

CONTENTS_LABEL = "amltool.prepared"
LOCK_LABEL = "amltool.lock"
FINISH, FINISH_S = "the making of images", 600.0
"""One large image takes minutes to be committed."""
SHOWN_DIFFERENCES = 5
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "386": "i686"}
"""Docker's names of processors where ``uname -m`` has others."""


class ImageEnvironment:
    """Builds images of a project for a compute target, or finds them.

    With ``userManagedEnvironment: true`` the base image is used as it is, and only listed. The image of an environment
    carries all that is known of it as labels, so that finding it costs two questions to the daemon.
    """

    def __init__(self, daemon: DockerDaemon, compute: ComputeTarget, project: str) -> None:
        self._daemon = daemon
        self._compute = compute
        self._project = image_part(project)

    def find(self, host: Host, request: EnvironmentRequest) -> Prepared | None:
        """The image a request means, when it is there.

        Raises:
            UserError: the dependency files have mistakes, or PySpark is asked for and the image has none.
        """
        found = self._of_lock(request)
        if found is None:
            wanted = self._wanted_of_known_base(host, request)
            found = self._kept(host, wanted) if wanted is not None else None
        return self._usable(found, request) if found is not None else None

    def prepare(self, host: Host, request: EnvironmentRequest, progress: Progress) -> Prepared:
        """Find or build it; who builds the same at the same time waits, and it is built once.

        Raises:
            UserError: it cannot be had: the base image, a package, a Python of that version.
        """
        there = self.find(host, request)
        if there is not None:
            return there
        base = self._bring_base(host, request, progress)
        wanted = self._wanted(base.image.id, base.image.architecture, request)
        found = self._kept(host, wanted)
        if found is None:
            found = self._build(host, base, wanted, progress)
        return self._usable(found, request, base.notices)

    def kept(self, host: Host) -> list[KeptEnvironment]:  # noqa: ARG002
        """This project's images, build containers that nobody finished, and the cache of packages."""
        return list(kept_by(self._daemon, self._project))

    def remove(self, host: Host, kept: KeptEnvironment) -> None:  # noqa: ARG002
        """Remove one of `kept`; an image that other projects use as well only loses this project's name.

        Raises:
            UserError: a container uses it.
        """
        remove_kept(self._daemon, self._project, kept)

    # what is wanted

    @property
    def _base_name(self) -> str:
        return self._compute.base_docker_image or default_base_image()

    def _wanted_of_known_base(self, host: Host, request: EnvironmentRequest) -> Wanted | None:
        base = base_image_of(request.lock) if request.lock is not None else None
        if base is not None:
            image = self._daemon.image(base.digest or base.id or base.name)
            return self._wanted(image.id, image.architecture, request) if image is not None else None
        known = BaseImages(self._daemon, host).known(self._base_name)
        if known is None or (self._compute.user_managed_environment and not known.is_here):
            return None
        return self._wanted(known.id, known.platform, request)

    def _bring_base(self, host: Host, request: EnvironmentRequest, progress: Progress) -> Base:
        images = BaseImages(self._daemon, host)
        base = base_image_of(request.lock) if request.lock is not None else None
        if base is None:
            return images.bring(self._base_name, progress)
        return images.bring_locked(base.name, base.digest or base.id or base.name, progress)

    def _wanted(self, base_id: str, platform: str, request: EnvironmentRequest) -> Wanted:
        """What a request comes to on a base image, and the key that names it."""
        if self._compute.user_managed_environment:
            location = self._compute.python_location
            return Wanted(key=Recipe().key("as it is", base_id, location, BUILD_VERSION), python_location=location)
        system, _, machine = platform.partition("/")
        recipe = recipe_of(request, conda_platform(system, _MACHINES.get(machine, machine)))
        certificates = ca_bundle(self._compute)
        content = certificates.read_bytes() if certificates is not None else b""
        key = recipe.key(
            base_id,
            platform,
            hashlib.sha256(content).hexdigest() if content else "",
            *build_circumstances(self._compute),
            BUILD_VERSION,
        )
        return Wanted(key=key, recipe=recipe, certificates=content)

    # what is there

    def _of_lock(self, request: EnvironmentRequest) -> Contents | None:
        """The image that was built with exactly the lock of a request."""
        if request.lock is None or self._compute.user_managed_environment:
            return None
        return self._taken(f"{LOCK_LABEL}={hashlib.sha256(request.lock).hexdigest()}")

    def _kept(self, host: Host, wanted: Wanted) -> Contents | None:
        if wanted.recipe is None:
            return self._listed(host, wanted.key)
        image = self._daemon.image(self._image_name(wanted.key))
        if image is not None and image.labels.get(ENVIRONMENT_LABEL) == wanted.key:
            return read_contents(image.labels.get(CONTENTS_LABEL, ""), image.id)
        return self._taken(f"{ENVIRONMENT_LABEL}={wanted.key}")

    def _taken(self, label: str) -> Contents | None:
        """What is in the image that has this label; it gets a name of this project where it has none."""
        for image in self._daemon.images(label):
            contents = read_contents(image.labels.get(CONTENTS_LABEL, ""), image.id)
            if contents is not None:
                name = self._image_name(contents.key)
                if image.name != name:
                    self._daemon.tag(image.id, name)
                return contents
        return None

    def _listed(self, host: Host, key: str) -> Contents | None:
        """What was found in a base image that the user manages."""
        try:
            return msgspec.json.decode(host.read(images_folder(host) / f"{key}.json"), type=Contents)
        except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def _usable(self, contents: Contents, request: EnvironmentRequest, notices: tuple[str, ...] = ()) -> Prepared:
        check_spark(contents, request)
        return contents.prepared((*notices, *_differences(request.lock, contents.lock)))

    # building

    def _build(self, host: Host, base: Base, wanted: Wanted, progress: Progress) -> Contents:
        if wanted.recipe is None:
            progress.say(f"Looking at what is installed in the image {base.name}.")
        else:
            progress.say(f"Building the execution environment {self._image_name(wanted.key)} on {base.name}.")
        volumes = tuple(volumes_on(host, self._compute.volumes))
        around = Surroundings(project=self._project, proxies=self._daemon.proxies(), volumes=volumes)
        plan = plan_of(wanted, base, self._compute, around)
        ends = Ends(
            lambda: self._kept(host, wanted),
            lambda container: self._finish(host, container, base, wanted),
            lambda failure: explain(failure, base.name, wanted, self._compute),
        )
        return ImageBuild(self._daemon, plan, ends, progress).bring_about()

    def _finish(self, host: Host, container: str, base: Base, wanted: Wanted) -> Contents:
        """Make the image of a build container; one of all that saw it end does so."""
        with _one_at_a_time(host):
            found = self._kept(host, wanted)
            if found is not None:
                return found
            contents = built_contents(self._daemon, container, base, wanted)
            if wanted.recipe is None:
                host.write(images_folder(host) / f"{wanted.key}.json", msgspec.json.encode(contents))
                return contents
            path = re.sub(r'([\\"$])', r"\\\1", contents.variables.get("PATH", ""))
            labels = {
                ENVIRONMENT_LABEL: wanted.key,
                PROJECT_LABEL: self._project,
                CONTENTS_LABEL: write_contents(contents),
                LOCK_LABEL: hashlib.sha256(contents.lock).hexdigest(),
                BASE_SIZE_LABEL: str(base.image.size),
                BUILD_LABEL: "",
            }
            changes = ['ENTRYPOINT [""]', 'CMD ["python"]', f'ENV PATH="{path}"']
            image = self._daemon.commit(container, self._image_name(wanted.key), changes, labels)
            return msgspec.structs.replace(contents, image=image)

    def _image_name(self, key: str) -> str:
        return f"{image_repository(self._project)}:{key[:16]}"


def image_part(project: str) -> str:
    """The name of a project as part of the name of an image: lower case, single separators."""
    return re.sub(r"[^a-z0-9]+", "-", project.lower()).strip("-") or "project"


def _differences(asked: bytes | None, found: bytes) -> tuple[str, ...]:
    """A notice where what was built is not what a lock asked for."""
    lines = compare_locks(asked, found) if asked is not None else []
    if not lines:
        return ()
    more = f" and {len(lines) - SHOWN_DIFFERENCES} more" if len(lines) > SHOWN_DIFFERENCES else ""
    return (f"The environment differs from that of the run: {'; '.join(lines[:SHOWN_DIFFERENCES])}{more}.",)


@contextlib.contextmanager
def _one_at_a_time(host: Host) -> Iterator[None]:
    """Between all that build images for a host, from whatever machine."""
    folder = images_folder(host)
    talking = streaming(host)
    if talking is not None:
        with held_there(talking, folder / "finish.lock", FINISH, within_s=FINISH_S):
            yield
        return
    if not isinstance(host, LocalHost):
        yield
        return
    host.make_folder(folder)
    with locked(Path(folder) / "finish.lock", FINISH, within_s=FINISH_S):
        yield
