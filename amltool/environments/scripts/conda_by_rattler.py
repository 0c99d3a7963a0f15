"""Creates a conda environment with py-rattler, where there is no conda command.

Run as ``conda_by_rattler.py PREFIX PLAN CACHE`` in a build container, on another machine or here, by a Python that has
py-rattler and not (always) amltool.
"""
# ruff: noqa: T201
# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="import-not-found,import-untyped,unused-ignore"

import asyncio
import hashlib
import json
import os
import pathlib
import sys
import urllib.parse
import urllib.request

import rattler


def record_of(address):
    """The record of an explicit URL (``…/linux-64/NAME-VERSION-BUILD.conda#MD5``, or ``#sha256:HEX``)."""
    url, _, digest = address.partition("#")
    folder, _, file_name = url.rpartition("/")
    channel, _, subdir = folder.rpartition("/")
    stem = file_name.removesuffix(".conda").removesuffix(".tar.bz2")
    name, version, build = stem.rsplit("-", 2)
    number = build.rpartition("_")[2]
    kind, _, hexadecimal = digest.rpartition(":")
    expected = bytes.fromhex(hexadecimal) or None
    record = rattler.PackageRecord(
        name,
        version,
        rattler.BuildString(build),
        int(number) if number.isdigit() else 0,
        subdir,
        md5=expected if not kind else None,
        sha256=expected if kind else None,
    )
    return rattler.RepoDataRecord(record, file_name, url, channel)


def check_local(record):
    """The library checks what it downloads, but takes a package of a ``file://`` channel as it lies there."""
    if not record.url.startswith("file://"):
        return
    content = pathlib.Path(urllib.request.url2pathname(urllib.parse.urlsplit(record.url).path)).read_bytes()
    for name in ("sha256", "md5"):
        expected = getattr(record, name)
        if expected is not None and hashlib.new(name, content, usedforsecurity=False).digest() != bytes(expected):
            raise ValueError(f"{record.url} is not what its channel says it is: its {name} is another")


async def create(prefix, plan, cache):
    if plan["explicit"]:
        records = [record_of(url) for url in plan["explicit"]]
    else:
        records = await rattler.solve(
            sources=plan["channels"],
            specs=plan["packages"],
            virtual_packages=rattler.VirtualPackage.detect(),
        )
    for record in records:
        print(f"{record.name.normalized} {record.version} {record.build}", flush=True)
        check_local(record)
    pathlib.Path(cache).mkdir(parents=True, exist_ok=True)
    await rattler.install(records, target_prefix=prefix, cache_dir=pathlib.Path(cache), show_progress=False)


def main():
    prefix, plan, cache = sys.argv[1:]
    try:
        asyncio.run(create(prefix, json.loads(pathlib.Path(plan).read_text()), cache))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
    sys.stdout.flush()
    os._exit(0)  # py-rattler 0.28 crashes now and then when the interpreter ends in the usual way (1 of 25 times)


main()
