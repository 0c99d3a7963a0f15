"""Say what the head node of a Hadoop cluster has; standard library, Python 3.6.

    python cluster_facts.py SPARK_SUBMIT PYTHON

The answer goes to standard output as one line of JSON.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Optional, Tuple

if not __package__:  # run by its path, as the bootstrap
    package = type(sys)("amltool_bootstrap")
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules["amltool_bootstrap"] = package
    __package__ = "amltool_bootstrap"
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) not in package.__path__]

from .yarn import Yarn, YarnError, configuration, of_namenode  # noqa: E402

ANSWER_S = 60.0
FILE_SYSTEM_S = 45.0
QUICK = ["connect.max.retries=1", "connect.retry.interval=500", "connect.max.retries.on.timeouts=0"]
QUICK += ["connect.timeout=4000", "rpc-timeout.ms=8000"]
"""Settings of Hadoop's client, which else tries to reach a NameNode for a quarter of an hour."""
HDFS = "hdfs://"


def facts(spark_submit: str, python: str) -> "Dict[str, Any]":
    """Versions of Spark, YARN and Python, the default file system and the way users are known; ``None``: not there.

    All are asked at once: Java machines take seconds to start.
    """
    settings = configuration(os.environ)
    found = {"spark_submit": shutil.which(spark_submit), "hadoop": shutil.which("hadoop")}  # type: Dict[str, Any]
    found["authentication"] = settings.get("hadoop.security.authentication", "simple")
    found["file_system"] = settings.get("fs.defaultFS")
    asked = [
        threading.Thread(target=ask, args=(found, settings), daemon=True)
        for ask in (_spark, _yarn, _file_system, _limits_of_hdfs)
    ]
    for each in asked:
        each.start()
    found["python"] = _version([python, "-V"], r"Python ([0-9][0-9.]*)")
    for each in asked:
        each.join()
    return found


def _spark(found: "Dict[str, Any]", _: "Mapping[str, str]") -> None:
    program = found["spark_submit"]
    found["spark"] = program and _version([program, "--version"], r"version ([0-9][0-9.]*)")


def _yarn(found: "Dict[str, Any]", _: "Mapping[str, str]") -> None:
    try:
        about = Yarn(os.environ).about()
        found.update(yarn=str(about.get("resourceManagerVersion")), yarn_state=str(about.get("state")))
    except YarnError as error:
        found.update(yarn=None, yarn_state=str(error))


def _file_system(found: "Dict[str, Any]", _: "Mapping[str, str]") -> None:
    """Look whether the user's home folder on the default file system may be written: a word, and what was said."""
    if not found["hadoop"] or not found["file_system"]:
        return
    options = [word for each in QUICK for word in ("-D", "ipc.client." + each)]
    code, said = _asked(["hadoop", "fs", *options, "-test", "-w", "."])
    state = "ok"
    if code is None:
        state, said = "silent", "no answer in %d s" % FILE_SYSTEM_S
    elif re.search("JAVA_HOME|java: (command )?not found", said):
        state = "java"
    elif code and said:
        state = "silent"
    elif code:
        there = _asked(["hadoop", "fs", *options, "-test", "-e", "."])[0] == 0
        # in Blob storage a folder is made with its first file
        state = "closed" if there else "missing" if found["file_system"].startswith(HDFS) else "ok"
    found.update(home_state=state, home_said=said)


def _asked(command: "List[str]") -> "Tuple[Optional[int], str]":
    """Exit code (``None``: no answer) of a command of the file system, and its last line that is no warning."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=FILE_SYSTEM_S
        )
    except subprocess.SubprocessError:
        return None, ""
    lines = [
        line for line in done.stdout.decode("utf-8", "replace").splitlines() if not re.search(" (WARN|INFO) ", line)
    ]
    return done.returncode, lines[-1].strip() if lines else ""


def _limits_of_hdfs(found: "Dict[str, Any]", settings: "Mapping[str, str]") -> None:
    """Ask a NameNode for safe mode and quotas over its web address; one that says nothing is passed over."""
    found.update(safe_mode=False, is_full=False)
    if not (found["file_system"] or "").startswith(HDFS):
        return
    try:
        bean = of_namenode(settings, "/jmx?qry=Hadoop:service=NameNode,name=NameNodeInfo")
        found["safe_mode"] = bool(bean["beans"][0].get("Safemode"))
        said = of_namenode(settings, "/webhdfs/v1%s?op=GETCONTENTSUMMARY" % Yarn(os.environ).folder)["ContentSummary"]
        used = {"quota": said["fileCount"] + said["directoryCount"], "spaceQuota": said["spaceConsumed"]}
        found["is_full"] = any(0 <= said[name] <= amount for name, amount in used.items())
    except (YarnError, ValueError, LookupError, TypeError, AttributeError):
        pass


def _version(command: "List[str]", pattern: str) -> "Optional[str]":
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=ANSWER_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    said = re.search(pattern, done.stdout.decode("utf-8", "replace"))
    return said.group(1) if said else None


if __name__ == "__main__":
    sys.stdout.write(json.dumps(facts(*sys.argv[1:3])) + "\n")
