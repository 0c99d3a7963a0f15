"""The Pythons of a Hadoop cluster's nodes: an environment without conda needs the head node's own on all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath

import msgspec

from amltool.environments.folder import Choice
from amltool.environments.login import Login
from amltool.errors import UserError
from amltool.hosts.base import Host
from amltool.layout import HostLayout

PROGRAM = "cluster_pythons.py"
"""Among what travels with runs: asks a node, on the head node."""
ANSWERS = "pythons-of-nodes.json"
ASK_S = 150.0
SHOWN = 6


class _Answer(msgspec.Struct, frozen=True):
    pythons: dict[str, str] | None = None
    why: str = ""


class ClusterNodes:
    """Asks the nodes of a cluster, once for each interpreter that they turn out to have."""

    def __init__(self, login: Login, bootstrap: Callable[[], PurePosixPath]) -> None:
        """``bootstrap`` puts what travels with runs on the head node, and gives the path of one of its files."""
        self._login = login
        self._bootstrap = bootstrap

    def check(self, host: Host, choice: Choice) -> str:
        """See that the nodes have the interpreter of an environment: the same path, the same version but for its last
        number. Gives a sentence where no node could be asked, else nothing.

        Raises:
            UserError: the nodes have not; names what they have.
        """
        program = self._bootstrap().with_name(PROGRAM)
        answers = HostLayout(host.root).cache / ANSWERS
        words = ["python3", str(program), choice.python, str(answers)]
        said = self._login.seen(host).run(words, timeout_s=ASK_S)
        try:
            found = msgspec.json.decode(said.stdout, type=_Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            found = _Answer(why=said.stderr.decode("utf-8", "backslashreplace").strip().rpartition("\n")[2])
        if found.pythons is None:
            return f"The nodes of the cluster were not asked for their Python ({found.why or 'no answer'})."
        version = choice.circumstances[0]
        if _minor(found.pythons.get(choice.python, "")) != _minor(version):
            raise UserError(
                f"The environment would be made with {choice.python} of {host.name} (Python {version}), which the "
                f"nodes of the cluster do not have. {_had(found.pythons)}",
                "Ask for a version that they have (python in conda_dependencies.yml), name such an interpreter as "
                "pythonLocation in the .compute, or name a package that conda installs: conda's own Python travels "
                "with the environment.",
            )
        return ""


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _had(pythons: dict[str, str]) -> str:
    by_version: dict[str, str] = {}
    for path, version in pythons.items():
        by_version.setdefault(version, path)
    if not by_version:
        return "They have none at the usual places."
    named = [f"Python {version} ({path})" for version, path in list(by_version.items())[:SHOWN]]
    return f"They have {', '.join(named)}."
