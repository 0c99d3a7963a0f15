"""Lists what an interpreter is and what is installed for it, as JSON on standard output.

Run in that interpreter as ``python -c "<this file>"``, so it keeps to the standard library and to Python 3.6. It
imports neither pathlib nor a metadata library: they would cost more than all the rest.
"""
# ruff: noqa: PTH116, PTH118, PTH123, PTH208
# mypy: allow-untyped-defs, allow-untyped-calls

import json
import os
import sys

MARK = "amltool-listing:"


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
    """URL and editable flag of a distribution that did not come from an index (PEP 610)."""
    try:
        direct = json.loads(read_text(os.path.join(folder, "direct_url.json")) or "{}")
        revision = (direct.get("vcs_info") or {}).get("commit_id")
        url = direct.get("url")
        if url and revision:
            url = url + "@" + revision
        return url, bool((direct.get("dir_info") or {}).get("editable"))
    except (ValueError, AttributeError, TypeError):
        return None, False


def distribution(folder, name):
    """The distribution that a name in a folder of the search path stands for, None where it is none."""
    path = os.path.join(folder, name)
    if name.endswith(".dist-info"):
        found, (url, editable) = headers(read_text(os.path.join(path, "METADATA"))), origin(path)
    elif name.endswith(".egg-info"):
        text = read_text(os.path.join(path, "PKG-INFO")) or read_text(path)
        found, url, editable = headers(text), None, False
    elif name.endswith(".egg-link"):
        source = read_text(path).split("\n")[0].strip()
        infos = [entry for entry in list_folder(source) if entry.endswith(".egg-info")]
        found = headers(read_text(os.path.join(source, infos[0], "PKG-INFO"))) if infos else {}
        url, editable = "file://" + as_text(source), True
    else:
        return None
    if "Name" not in found:
        return None
    return {"name": found["Name"], "version": found.get("Version", ""), "url": url, "editable": editable}


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
    conda = os.path.join(sys.prefix, "conda-meta")
    watched = folders + user_folder() + path_files(folders) + [conda, os.path.join(sys.prefix, "pyvenv.cfg")]
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
        "conda": [as_text(name[: -len(".json")]) for name in list_folder(conda) if name.endswith(".json")],
    }
    sys.stdout.write("\n" + MARK + json.dumps({"lock": lock, "stamps": stamps}) + "\n")


if __name__ == "__main__":
    main()
