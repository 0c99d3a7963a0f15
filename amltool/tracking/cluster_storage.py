"""The default file system of a Hadoop cluster, from its head node: commands, and what comes back; Python 3.6."""

import os
import shutil
import subprocess
import tarfile

from .cluster_driver import METRICS
from .yarn import YarnError, configuration, of_namenode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict

HDFS = "hdfs://"
NOT_THERE = 404


def files(*words: str) -> int:
    """Run a command of the cluster's file system (``hadoop fs``); its exit code."""
    try:
        return subprocess.run(
            ["hadoop", "fs", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode
    except OSError:
        return 127


def put_again(archive: "Dict[str, str]") -> None:
    """Put an environment's archive there again that somebody removed; one that is there is never written over, for
    applications read it."""
    files("-mkdir", "-p", os.path.dirname(archive["remote"]))
    files("-put", archive["local"], archive["remote"])


def put_if_missing(archive: "Dict[str, str]", home: str) -> None:
    """Put an environment's archive there where it is not, below the folder ``home``."""
    if is_missing(archive["remote"], home):
        put_again(archive)


def is_missing(name: str, home: str) -> bool:
    """Return True if a file below the folder ``home`` is not there; HDFS is asked over its web address, for Java takes
    seconds to start."""
    settings = configuration(os.environ)
    if settings.get("fs.defaultFS", "").startswith(HDFS):
        try:
            of_namenode(settings, "/webhdfs/v1%s/%s?op=GETFILESTATUS" % (home, name))
        except YarnError as error:
            if error.code == NOT_THERE:
                return True
        except ValueError:
            pass
        else:
            return False
    return files("-test", "-e", name) == 1


def merge(source: str, target: str) -> None:
    """Move what Spark wrote into a folder; what is there already stays."""
    for name in sorted(os.listdir(source)) if os.path.isdir(source) else []:
        if not os.path.lexists(os.path.join(target, name)):
            shutil.move(os.path.join(source, name), os.path.join(target, name))


def unpack_left(archive: str, work: str, top: str, folder: str) -> None:
    """Unpack what the driver left: regular files with names that stay in ``outputs`` and ``logs``, and its two own."""
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = member.name.split("/")
            if not member.isreg() or "" in parts or ".." in parts or "." in parts:
                continue
            if member.name == METRICS:
                target = os.path.join(top, METRICS)
            elif member.name == "console.log":
                target = os.path.join(folder, member.name)
            elif parts[0] in ("outputs", "logs") and len(parts) > 1:
                target = os.path.join(work, *parts)
                os.makedirs(os.path.dirname(target), exist_ok=True)
            else:
                continue
            content = tar.extractfile(member)
            if content is None or os.path.lexists(target):
                continue
            with open(target, "xb") as stream:
                shutil.copyfileobj(content, stream, 1 << 20)
            os.utime(target, (member.mtime, member.mtime))
