"""The shared folder: what survives runs on one target, and what it held before and after each."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from pathlib import PurePosixPath

from amltool.files import safe_text
from amltool.hosts.base import FileKind, Host
from amltool.run import FolderFile, is_time, timestamp


def list_shared_folder(host: Host, folder: PurePosixPath, *, with_hash: bool) -> list[FolderFile]:
    """Every regular file in the shared folder: path, size, time, and SHA-256 when asked for (it reads them all)."""
    return [
        FolderFile(
            path=safe_text(entry.path),
            size=entry.size,
            mtime=_time(entry.mtime_ns),
            sha256=_hash(host, folder, entry.path) if with_hash else None,
        )
        for entry in host.walk(folder)
        if entry.kind is FileKind.FILE
    ]


def _time(mtime_ns: int) -> str | None:
    """The time, or ``None`` where a run set one that no calendar has."""
    try:
        time = timestamp(datetime.fromtimestamp(mtime_ns / 1e9, timezone.utc))
    except (OverflowError, ValueError, OSError):
        return None
    return time if is_time(time) else None


def _hash(host: Host, folder: PurePosixPath, path: str) -> str | None:
    hashed = hashlib.sha256()
    try:
        with host.open(folder, path) as stream:
            while block := stream.read(1 << 20):
                hashed.update(block)
    except OSError:
        return None
    return hashed.hexdigest()
