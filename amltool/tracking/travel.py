"""What travels with a run: the files a host needs so that ``amltool.tracking`` works there without amltool.

site/sitecustomize.py      the folder PYTHONPATH begins with
path/amltool, path/azureml what it appends to the module search path
"""

import hashlib
import os
from typing import Any, Dict, NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
STAYS = frozenset(["travel.py"])
"""Of this folder's modules, what is of no use in a run."""

Installed = NamedTuple("Installed", [("folder", Any), ("site", Any), ("path", Any), ("bootstrap", Any)])
"""What lies where on a host (``PurePosixPath`` each): ``site`` goes in front of PYTHONPATH."""


def files() -> Dict[str, bytes]:
    """Path below ``lib`` -> content, of every file that travels; sorted, some tens of kilobytes."""
    found = {"path/amltool/__init__.py": _read(os.path.join(os.path.dirname(HERE), "__init__.py"))}
    for name in os.listdir(HERE):
        if name.endswith(".py") and name not in STAYS:
            found["path/amltool/tracking/" + name] = _read(os.path.join(HERE, name))
    for source, below in (("site", "site/"), ("shims", "path/")):
        top = os.path.join(HERE, source)
        for folder, _, names in os.walk(top):
            for name in names:
                if name.endswith(".py"):
                    path = os.path.join(folder, name)
                    found[below + os.path.relpath(path, top).replace(os.sep, "/")] = _read(path)
    return {path: found[path] for path in sorted(found)}


def digest(content: Dict[str, bytes]) -> str:
    """A name for exactly these files: hex, 16 digits."""
    summed = hashlib.sha256()
    for path in sorted(content):
        summed.update(("%s\0%d\0" % (path, len(content[path]))).encode("utf-8") + content[path])
    return summed.hexdigest()[:16]


def install(host: Any) -> Installed:
    """Put the files on a host (``amltool.hosts.base.Host``) once for every version of them, whole or not at all.

    Raises:
        TargetError: the host cannot be reached.
        OSError: nothing can be written there.
    """
    from amltool.layout import HostLayout  # this module does not travel, and the name of the folder has one home

    content = files()
    folder = HostLayout(host.root).tracking(digest(content))
    if not host.exists(at(folder).bootstrap):  # a script may have removed what lies there, or its mode keeps us out
        beside = folder.with_name("%s.%s.part" % (folder.name, os.urandom(4).hex()))
        written = [(beside / path, content[path]) for path in content]
        try:
            if hasattr(host, "write_many"):  # over a network it makes a difference
                host.write_many([(path, one, 0o644) for path, one in written])
            else:
                for path, one in written:
                    host.write(path, one)
            if host.exists(folder) and not host.exists(at(folder).bootstrap):
                host.remove(folder)
            host.rename(beside, folder)
        except Exception:
            host.remove(beside)
            if not host.exists(folder):  # else somebody else was faster
                raise
    return at(folder)


def at(folder: Any) -> Installed:
    """What lies where when the files are seen at ``folder``, as in a container."""
    return Installed(folder, folder / "site", folder / "path", folder / "path/amltool/tracking/bootstrap.py")


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()
