"""What is in an image: how Python is run in it, its variables, its lock; as the build script described it."""

from __future__ import annotations

import base64
import binascii
import zlib

import msgspec

from amltool.containers.daemon import DockerDaemon
from amltool.environments.base import EnvironmentRequest, Prepared
from amltool.environments.base_images import Base
from amltool.environments.building import certificate_variables
from amltool.environments.image_build import CERTIFICATES, ENVIRONMENT, fetch_results
from amltool.environments.image_plan import Wanted
from amltool.environments.lock import BaseImage, LockSource, built_lock
from amltool.environments.recipe import Recipe
from amltool.errors import TargetError, UserError

_OF_THE_BUILD = ("OLDPWD", "PWD", "SHLVL", "TERM", "_", "PYTHONCOERCECLOCALE", "PYTHONDONTWRITEBYTECODE")
NOT_OF_RUNS = frozenset({"HOME", "HOSTNAME", "LOGNAME", "USER", *_OF_THE_BUILD})
"""Variables of the build's own shell and user."""


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What is in an image; ``spark_submit`` is the path of that program (empty where there is none)."""

    key: str
    image: str
    python: str
    lock: bytes
    variables: dict[str, str]
    accounts: str
    spark_submit: str = ""
    java: bool = False

    def prepared(self, notices: tuple[str, ...]) -> Prepared:
        """For a run."""
        return Prepared(
            python=[self.python],
            key=self.key,
            lock=self.lock,
            image=self.image,
            variables=self.variables,
            spark_submit=[self.spark_submit] if self.spark_submit else [],
            accounts=self.accounts,
            notices=notices,
        )


class _Facts(msgspec.Struct, frozen=True):
    """What scripts/facts.py wrote."""

    variables: dict[str, str]
    python: str
    spark_submit: str | None
    java: bool


def built_contents(daemon: DockerDaemon, container: str, base: Base, wanted: Wanted) -> Contents:
    """What a build container that ended well says it holds.

    Raises:
        TargetError: it says nothing; it may be gone.
        UserError: its Python did not say what is installed.
    """
    results = fetch_results(daemon, container)
    try:
        facts = msgspec.json.decode(results["facts"], type=_Facts)
    except (KeyError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TargetError("The build container does not say what it holds.", "Try again.") from error
    recipe, image = wanted.recipe or Recipe(), base.image
    known = BaseImage(base.name, image.digest) if image.digest else BaseImage(base.name, id=image.id)
    lock = built_lock(results.get("listing", b""), source=LockSource.IMAGE, recipe=recipe, base_image=known)
    variables = {name: value for name, value in facts.variables.items() if name not in NOT_OF_RUNS}
    if wanted.certificates:
        variables |= certificate_variables(CERTIFICATES)
    return Contents(
        key=wanted.key,
        image=image.id,
        python=f"{ENVIRONMENT}/bin/python" if wanted.recipe is not None else facts.python,
        lock=lock,
        variables={**variables, **recipe.variables},
        accounts=results.get("passwd", b"").decode("utf-8", "replace"),
        spark_submit=facts.spark_submit or "",
        java=facts.java,
    )


def write_contents(contents: Contents) -> str:
    """As the text of a label: compressed, for every look at the image and at its containers brings it along."""
    return base64.b64encode(zlib.compress(msgspec.json.encode(contents), 9)).decode("ascii")


def read_contents(label: str, image: str) -> Contents | None:
    """The contents of an image by its label; ``None`` where that is not one of ours."""
    try:
        found = msgspec.json.decode(zlib.decompress(base64.b64decode(label)), type=Contents)
    except (binascii.Error, zlib.error, ValueError, msgspec.MsgspecError):
        return None
    return msgspec.structs.replace(found, image=image)


def check_spark(contents: Contents, request: EnvironmentRequest) -> None:
    """Raises UserError where PySpark is asked for, and the image has no Spark or no Java."""
    if not request.wants_spark:
        return
    file = request.conda_file or "conda_dependencies.yml"
    if not contents.spark_submit:
        raise UserError(
            "The run configuration says Framework: PySpark, and there is no Spark in the image.",
            f"Add `- pyspark` under `- pip:` in {file}, or choose a base image with Spark (baseDockerImage in the "
            ".compute).",
        )
    if not contents.java:
        raise UserError(
            "The run configuration says Framework: PySpark, and there is no Java in the image, which Spark needs.",
            f"Choose a base image with Java (baseDockerImage in the .compute), or add `- openjdk` to {file}: conda "
            "installs it.",
        )
