"""Say what runs left on a Hadoop cluster's default file system; standard library, Python 3.6.

    python cluster_leftovers.py RUNS

The answer goes to standard output as one line of JSON: a list of ``[tag, place, bytes]``. ``RUNS`` is the folder that
has the folders of runs, below the user's home folder there. What an application that is under way may need is left out,
and so is the staging folder of one that YARN does not know (any more): nobody can say whose it is.
"""

import json
import os
import re
import subprocess
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Tuple

if not __package__:  # run by its path, as the bootstrap
    package = type(sys)("amltool_bootstrap")
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules["amltool_bootstrap"] = package
    __package__ = "amltool_bootstrap"
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) not in package.__path__]

from .yarn import OVER, STAGING, Yarn, YarnError  # noqa: E402

ANSWER_S = 100.0
OURS = "amltool-"
_LINE = re.compile(r"^([0-9]+) +(?:[0-9]+ +)?(\S.*)$", re.MULTILINE)


def main(arguments: "List[str]") -> int:
    """The command line."""
    try:
        found = leftovers(Yarn(os.environ), arguments[0])
    except (YarnError, OSError, subprocess.SubprocessError) as error:
        sys.stderr.write("%s\n" % error)
        return 1
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def leftovers(yarn: Yarn, runs: str) -> "List[Tuple[str, str, int]]":
    """Tag, place and bytes of each.

    Raises:
        YarnError: no ResourceManager answers.
        OSError, subprocess.SubprocessError: the file system cannot be asked.
    """
    lies = list(_lies(runs, STAGING))  # first: an application that begins now is then among those of YARN
    applications = {each["id"]: each for each in yarn.applications_of_user()}
    alive = {tag for each in applications.values() if each.get("state") not in OVER for tag in _tags(each)}
    found = []
    for place, size in lies:
        above, _, name = place.rpartition("/")
        if above.endswith(STAGING):
            application = applications.get(name, {})
            tags = [tag for tag in _tags(application) if tag.startswith(OURS) and tag not in alive]
            if tags and application.get("state") in OVER:
                found.append((tags[0], place, size))
        elif OURS + name.lower() not in alive:
            found.append((OURS + name.lower(), place, size))
    return found


def _tags(application: "Dict[str, Any]") -> "List[str]":
    return str(application.get("applicationTags") or "").split(",")


def _lies(*folders: str) -> "Iterator[Tuple[str, int]]":
    """Place and bytes of what is in folders; those that are not there are empty."""
    done = subprocess.run(
        ["hadoop", "fs", "-du", *folders],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=ANSWER_S,
    )
    said = done.stderr.decode("utf-8", "replace")
    if done.returncode and "No such file or directory" not in said:
        raise OSError("hadoop fs -du: %s" % (said.strip().splitlines() or ["exit code %d" % done.returncode])[-1])
    yield from sizes_in(done.stdout)


def sizes_in(listed: bytes) -> "Iterator[Tuple[str, int]]":
    """Place and bytes of each line of ``hadoop fs -du``."""
    for size, place in _LINE.findall(listed.decode("utf-8", "replace")):
        yield place, int(size)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
