"""Ask the nodes of a Hadoop cluster which Pythons they have; standard library, Python 3.6.

    python cluster_pythons.py INTERPRETER ANSWERS

The answer goes to standard output as one line of JSON. One container of YARN is asked, the smallest there is, which
lists its Pythons and ends: the nodes of a cluster are made alike. A node that has the interpreter is remembered in the
file ANSWERS; one that has not is asked again the next time.

Where a container fails, YARN shows the last of its ``stderr`` as the application's diagnostics: no log has to be found.
"""

import base64
import json
import os
import re
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

if not __package__:  # run by its path, as the bootstrap
    package = type(sys)("amltool_bootstrap")
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules["amltool_bootstrap"] = package
    __package__ = "amltool_bootstrap"
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) not in package.__path__]

from .yarn import OVER, Yarn, YarnError  # noqa: E402

PATIENCE_S = 60.0
"""A cluster with no room for the smallest container is not waited for any longer."""
LOOK_S = 0.3
MEMORY_MB = 256
NAME = "amltool: which Python do the nodes have?"
MARK = "amltool-python"
_ANSWER = re.compile(MARK + r" (\S+) ([0-9]+\.[0-9]+\.[0-9]+\S*)")
_SCRIPT = """
hdinsight=/usr/bin/anaconda
for python in {0} /usr/bin/python3* /usr/local/bin/python3* $hdinsight/bin/python $hdinsight/envs/*/bin/python
do
  [ -x "$python" ] || continue
  case $python in *config) continue ;; esac
  version=$("$python" -c 'import platform; print(platform.python_version())' 2>/dev/null </dev/null) || continue
  echo {1} "$python" "$version"
done | head -c 3500 >&2
exit 3
"""


def ask(interpreter: str, answers: str) -> "Dict[str, Any]":
    """Versions of Python by their paths on a node; ``pythons`` is ``None`` where no node answered, for the reason
    ``why``."""
    remembered = _remembered(answers)
    if interpreter in remembered:
        return {"pythons": {interpreter: remembered[interpreter]}, "why": ""}
    yarn = Yarn(os.environ)
    name = ""
    try:
        name = yarn.new_application()
        yarn.submit(_application(name, interpreter))
        diagnostics = _diagnostics(yarn, name)
    except YarnError as error:
        return {"pythons": None, "why": str(error)}
    if diagnostics is None:
        try:
            yarn.kill(name)
        except YarnError:
            pass
        return {"pythons": None, "why": "YARN gave it no container in %d s" % PATIENCE_S}
    found = dict(_ANSWER.findall(diagnostics))
    if not found and MARK not in diagnostics and "exitCode: 3" not in diagnostics:
        return {"pythons": None, "why": (diagnostics.strip().splitlines() or ["YARN says no more"])[0][:300]}
    if interpreter in found:
        _remember(answers, dict(remembered, **{interpreter: found[interpreter]}))
    return {"pythons": found, "why": ""}


def _application(name: str, interpreter: str) -> "Dict[str, Any]":
    quoted = "'" + interpreter.replace("'", "'\\''") + "'"
    script = base64.b64encode(_SCRIPT.format(quoted, MARK).encode("utf-8", "surrogateescape")).decode("ascii")
    # YARN puts the command between double quotes of a shell script: nothing in it may mean something there
    command = "echo %s | base64 -d | sh 1><LOG_DIR>/stdout 2><LOG_DIR>/stderr" % script
    return {
        "application-id": name,
        "application-name": NAME,
        "application-type": "AMLTOOL",
        "am-container-spec": {"commands": {"command": command}},
        "max-app-attempts": 1,
        "resource": {"memory": MEMORY_MB, "vCores": 1},
    }


def _diagnostics(yarn: "Yarn", name: str) -> "Optional[str]":
    """Wait for what YARN says of it once it is over; ``None`` where it does not begin."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        found = yarn.application(name)
        if found.get("state") in OVER:
            return str(found.get("diagnostics") or "")
        time.sleep(LOOK_S)
    return None


def _remembered(path: str) -> "Dict[str, str]":
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
        return {str(name): str(version) for name, version in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _remember(path: str, answers: "Dict[str, str]") -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        beside = "%s.%d" % (path, os.getpid())
        with open(beside, "w", encoding="utf-8") as stream:
            json.dump(answers, stream)
        os.rename(beside, path)
    except OSError:
        pass  # it is asked again, nothing else


if __name__ == "__main__":
    sys.stdout.write(json.dumps(ask(*sys.argv[1:3])) + "\n")
