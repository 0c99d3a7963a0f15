"""The user's own interpreter on another machine as an execution environment."""

from __future__ import annotations

import msgspec

from amltool.environments.base import EnvironmentRequest, KeptEnvironment, Prepared, Progress
from amltool.environments.interpreter import DECIDING, editable_notices
from amltool.environments.lock import LISTING_MARK, canonical, listing_script, lock_from
from amltool.environments.login import Login
from amltool.environments.spark import SPARK_SUBMIT
from amltool.errors import UserError
from amltool.hosts.base import Host
from amltool.layout import HostLayout


class InterpreterThere:
    """The interpreter that ``pythonLocation`` names to a login there, as it is: nothing is built.

    It is found, listed and kept in mind by one command there: one round trip.
    """

    def __init__(self, python_location: str, login: Login, spark_submit_location: str = SPARK_SUBMIT) -> None:
        self._location = python_location
        self._login = login
        self._spark_submit_location = spark_submit_location.strip() or SPARK_SUBMIT

    def find(self, host: Host, request: EnvironmentRequest) -> Prepared:
        """Find it and take its lock; the dependency files are not for it (WORKBENCH 1.3).

        Raises:
            UserError: there is no such interpreter there, or it does not run.
            TargetError: the host does not answer.
        """
        answer = self._login.ask(
            {
                "location": self._location,
                "spark_submit": self._spark_submit_location,
                "listing": listing_script(),
                "listing_mark": LISTING_MARK.decode(),
                "cache": str(HostLayout(host.root).cache),
                "deciding": DECIDING,
            }
        )
        if "refused" in answer:
            raise UserError(
                f"{answer['refused']} {host.name}.",
                "Set pythonLocation in the .compute to an interpreter there: its name on the PATH of a login, or its "
                "absolute path.",
            )
        try:
            lock = lock_from(canonical(answer["lock"]))
            python, spark = [str(answer["interpreter"])], [str(word) for word in answer["spark_submit"]]
        except (msgspec.MsgspecError, KeyError, TypeError, UnicodeError) as error:
            raise UserError(
                f"What the interpreter on {host.name} says of itself cannot be read: {error}.",
                "Set pythonLocation in the .compute to another one.",
            ) from None
        return Prepared(
            python=python,
            key=lock.sha256[:16],
            lock=lock.content,
            spark_submit=spark if request.wants_spark else [],
            notices=editable_notices(lock),
        )

    def prepare(self, host: Host, request: EnvironmentRequest, progress: Progress) -> Prepared:  # noqa: ARG002
        """As `find`: nothing is ever built."""
        return self.find(host, request)

    def kept(self, host: Host) -> list[KeptEnvironment]:  # noqa: ARG002
        """Nothing: it is the user's own."""
        return []

    def remove(self, host: Host, kept: KeptEnvironment) -> None:
        """Nothing there is ours to remove."""
