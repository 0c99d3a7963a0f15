"""Script actions: a shell script that prepares the head node of a cluster; Azure's own API alone reaches all nodes."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from shlex import quote

import msgspec

from amltool.commands.opening import Opened
from amltool.configuration.choosing import choose
from amltool.configuration.compute import ComputeType
from amltool.configuration.folder import working_files
from amltool.environments.base import Progress
from amltool.environments.building import BuildLog, BuildVariables
from amltool.environments.login import Login
from amltool.environments.steps import Steps
from amltool.errors import TargetError, UserError
from amltool.hosts.base import Host
from amltool.layout import HostLayout
from amltool.targets import open_target

LARGEST = 1 << 20
AS_A_LOGIN = ("env", "-u", "PYTHONNOUSERSITE", "-u", "NO_COLOR")
"""Variables of our builds are none of a script action's."""
_AZURE = re.compile(r"(?P<cluster>[A-Za-z0-9-]+?)-ssh\.azurehdinsight\.[a-z]+")
_NOT_TEXT = "is no shell script in plain text"


class ScriptAction(msgspec.Struct, frozen=True):
    """A script and where it is to run: ``host`` is the head node, ``address`` that of the ``.compute``."""

    file: str
    text: str
    target: str
    host: Host
    address: str

    @property
    def question(self) -> str:
        return f"Run {self.file} on the head node {self.host.name} of {self.target}?"

    @property
    def on_all_nodes(self) -> str:
        """The line by which Azure runs it on the other nodes, which no login of ours reaches."""
        found = _AZURE.fullmatch(self.address)
        cluster = found["cluster"] if found else "CLUSTER"
        name = Path(self.file).name
        uri = quote(f"https://ADDRESS/{name}")
        return (
            f"{name} ran on the head node {self.host.name} only. Azure runs it on all nodes, and on those that are "
            "added later, from an address it can read:\n"
            f"  az hdinsight script-action execute --resource-group GROUP --cluster-name {cluster} "
            f"--name {quote(Path(name).stem)} --script-uri {uri} --roles headnode workernode --persist-on-success"
        )


def find_script_action(
    opened: Opened, target: str | None, run_configuration: str | None, file: str | Path
) -> ScriptAction:
    """Read a script action and find the cluster it is for; nothing is asked of that.

    Raises:
        UserError: the target is no cluster, or the file no shell script of at most 1 MB.
    """
    files = working_files(opened.project.root)
    compute = choose(files, files, target=target, run_configuration=run_configuration).compute
    if compute.type is not ComputeType.CLUSTER:
        raise UserError(
            f"{compute.name} is of the type {compute.type.value}, and script actions are for clusters.",
            "Name a compute target of the type cluster, or put what has to be installed into conda_dependencies.yml.",
        )
    text = _read(file)
    host = open_target(compute, opened.names, opened.git.top).host
    return ScriptAction(str(file), text, compute.name, host, compute.address or "")


def run_script_action(action: ScriptAction, progress: Progress) -> None:
    """Run it on the head node as the user who logs in there; its output is seen while it comes.

    Raises:
        UserError: it failed; says its exit code.
        TargetError: the head node does not answer.
    """
    host = Login(action.host).seen(action.host)
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", Path(action.file).name)
    path = HostLayout(host.root).cache / "script-actions" / f"{os.urandom(4).hex()}-{name}"
    host.write(path, action.text.encode("utf-8", "surrogateescape"), mode=0o700)
    try:
        steps = Steps(host, path.parent, BuildVariables({}, ()), BuildLog(progress, ()))
        words = [str(path)] if action.text.startswith("#!") else ["bash", str(path)]
        remedy = "Correct it and run the same command again: what it did before it failed is still done."
        steps.run(f"{action.file} on {host.name}", [*AS_A_LOGIN, *words], remedy)
    finally:
        with contextlib.suppress(OSError, TargetError):
            host.remove(path)


def _read(file: str | Path) -> str:
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.", "Name a shell script of this machine.") from None
    if len(content) > LARGEST or b"\0" in content or not content.strip():
        raise UserError(f"{file} {_NOT_TEXT}.", "Give one of at most 1 MB; it may fetch whatever else it needs.")
    if b"\r\n" in content:
        raise UserError(f"{file} has the line ends of Windows, which bash does not take.", f"Run: dos2unix {file}")
    return content.decode("utf-8", "surrogateescape")
