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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

if not __package__:  # run by its path, as the bootstrap
    package = type(sys)("amltool_bootstrap")
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules["amltool_bootstrap"] = package
    __package__ = "amltool_bootstrap"
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) not in package.__path__]

from .yarn import Yarn, YarnError, configuration  # noqa: E402

ANSWER_S = 60.0


def facts(spark_submit: str, python: str) -> "Dict[str, Any]":
    """Versions of Spark, YARN and Python, the default file system and the way users are known; ``None``: not there."""
    settings = configuration(os.environ)
    found = {"spark_submit": shutil.which(spark_submit), "hadoop": shutil.which("hadoop")}  # type: Dict[str, Any]
    found["authentication"] = settings.get("hadoop.security.authentication", "simple")
    found["file_system"] = settings.get("fs.defaultFS")
    found["python"] = _version([python, "-V"], r"Python ([0-9][0-9.]*)")
    found["spark"] = found["spark_submit"] and _version([found["spark_submit"], "--version"], r"version ([0-9][0-9.]*)")
    try:
        about = Yarn(os.environ).about()
        found.update(yarn=str(about.get("resourceManagerVersion")), yarn_state=str(about.get("state")))
    except YarnError as error:
        found.update(yarn=None, yarn_state=str(error))
    return found


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
