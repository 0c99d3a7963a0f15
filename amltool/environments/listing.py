"""Lists what an interpreter is and what is installed for it, as JSON on standard output.

Run in that interpreter as ``python -c "<this file>"``, so it keeps to the standard library and to Python 3.6. It
imports neither pathlib nor a metadata library: they would cost more than all the rest. With ``explicit`` as argument it
tells also where conda's packages came from, for which it has to read a large file for each.
"""
# ruff: noqa: PTH112, PTH116, PTH118, PTH123, PTH208
# mypy: allow-untyped-defs, allow-untyped-calls

import json
import os
import sys

MARK = "amltool-listing:"
CONDA = os.path.join(sys.prefix, "conda-meta")
BY_CONDA = os.path.isdir(CONDA)


def file_stamp(path):
    """Modification time in nanoseconds, None where nothing lies: it changes when a name is added or removed."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns


def as_text(path):
    """A path that JSON can hold; where bytes had to be replaced, nothing lies there, and no cache relies on it."""
    return path.encode("utf-8", "replace").decode("utf-8")


def read_text(path):
    try:
        with open(path, "rb") as stream:
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""


def headers(text):
    """Name and Version of a METADATA or PKG-INFO file; they stand before the first empty line."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            break
        key, colon, value = line.partition(":")
        if colon and key in ("Name", "Version"):
            found.setdefault(key, value.strip())
    return found


def origin(folder):
    """Where a distribution came from that did not come from an index (PEP 610), as keys of a locked package."""
    found: dict[str, object] = {"url": None, "editable": False}
    try:
        direct = json.loads(read_text(os.path.join(folder, "direct_url.json")) or "{}")
        url, vcs = direct.get("url"), direct.get("vcs_info") or {}
        if url and vcs.get("commit_id"):
            url = url + "@" + vcs["commit_id"]
            if vcs.get("vcs"):
                found["vcs"] = vcs["vcs"]
        if url and direct.get("subdirectory"):
            url = url + "#subdirectory=" + direct["subdirectory"]
        found.update(url=url, editable=bool((direct.get("dir_info") or {}).get("editable")))
    except (ValueError, AttributeError, TypeError):
        pass
    return found


def distribution(folder, name):
    """The distribution that a name in a folder of the search path stands for, None where it is none."""
    path = os.path.join(folder, name)
    if name.endswith(".dist-info"):
        found, more = headers(read_text(os.path.join(path, "METADATA"))), origin(path)
        if BY_CONDA and read_text(os.path.join(path, "INSTALLER")).strip() == "conda":
            more["installer"] = "conda"
    elif name.endswith(".egg-info"):
        text = read_text(os.path.join(path, "PKG-INFO")) or read_text(path)
        found, more = headers(text), {"url": None, "editable": False}
    elif name.endswith(".egg-link"):
        source = read_text(path).split("\n")[0].strip()
        infos = [entry for entry in list_folder(source) if entry.endswith(".egg-info")]
        found = headers(read_text(os.path.join(source, infos[0], "PKG-INFO"))) if infos else {}
        more = {"url": "file://" + as_text(source), "editable": True}
    else:
        return None
    if "Name" not in found:
        return None
    return dict(more, name=found["Name"], version=found.get("Version", ""))


def list_folder(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def distributions(folders):
    """Every distribution once, as imports find it: the first on the search path (egg-links before what they link)."""
    found: dict[str, dict[str, object]] = {}
    for folder in folders:
        names = list_folder(folder)
        for name in sorted(names, key=lambda one: (not one.endswith(".egg-link"), one)):
            one = distribution(folder, name)
            if one is not None:
                key = one["name"].lower().replace("_", "-").replace(".", "-")
                found.setdefault(key, one)
    return [found[key] for key in sorted(found)]


def conda_packages():
    """Each package that conda installed, with its URL and what it depends on."""
    found = []
    for name in list_folder(CONDA):
        if not name.endswith(".json"):
            continue
        try:
            record = json.loads(read_text(os.path.join(CONDA, name)))
            one = {key: str(record.get(key) or "") for key in ("name", "url", "md5", "sha256")}
            depends = [str(need) for need in record.get("depends") or []]
        except (ValueError, AttributeError, TypeError):
            continue
        found.append(dict(one, distribution=as_text(name[: -len(".json")]), depends=depends))
    return found


def path_files(folders):
    """``.pth`` files: what they say decides what else is on the search path."""
    return [os.path.join(folder, name) for folder in folders for name in list_folder(folder) if name.endswith(".pth")]


def user_folder():
    site = sys.modules.get("site")
    try:
        return [site.getusersitepackages()] if site and site.ENABLE_USER_SITE else []
    except Exception:
        return []


def libc():
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError, OSError):
        return ""


def main():
    folders = [folder for folder in sys.path if folder]
    watched = folders + user_folder() + path_files(folders) + [CONDA, os.path.join(sys.prefix, "pyvenv.cfg")]
    stamps = {as_text(path): file_stamp(path) for path in watched}  # before they are read, so that no change is missed
    lock = {
        "v": 1,
        "python": {
            "executable": as_text(sys.executable or ""),
            "implementation": sys.implementation.name,
            "version": ".".join(str(part) for part in sys.version_info[:3])
            + ("" if sys.version_info[3] == "final" else sys.version_info[3] + str(sys.version_info[4])),
            "build": sys.version.replace("\n", " "),
        },
        "platform": {"system": sys.platform, "machine": os.uname()[4], "libc": libc()},
        "packages": distributions(folders),
        "conda": [as_text(name[: -len(".json")]) for name in list_folder(CONDA) if name.endswith(".json")],
    }
    answer = {"lock": lock, "stamps": stamps}
    if "explicit" in sys.argv[1:]:
        answer["explicit"] = conda_packages()
    sys.stdout.write("\n" + MARK + json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
