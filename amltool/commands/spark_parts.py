"""Files that Spark writes, between two runs: a part has another name in every run, a checksum is no result of its own.

Spark names the parts of a data set ``part-00000-JOB-c000.csv``, with a new UUID for each job
(https://github.com/apache/spark, HadoopMapReduceCommitProtocol.getFilename). Hadoop's local file system keeps a
checksum beside each file (``.NAME.crc``); other file systems keep none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_PART = re.compile(r"(?<=/)(part-[0-9]{5,})-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=[-.]|$)")
_CHECKSUM = re.compile(r"(.*/)\.([^/]+)\.crc")
Outputs = dict[str, str]
RENAMED = "{} is {} in the original: Spark puts the number of the job into the name"
CHECKSUMS = "checksums that Hadoop's local file system keeps beside files (.NAME.crc) are not compared"


def paired_parts(was: Mapping[str, str], now: Mapping[str, str]) -> tuple[Outputs, Outputs, list[str]]:
    """The outputs (path to digest) of two runs without Hadoop's checksums that have no equal, and with each part of the
    second run under its name in the first; and sentences that say so. Parts of the same number and ending are paired
    by content first, then in order."""
    before, after = _without_checksums(was, now), _without_checksums(now, was)
    aside = [CHECKSUMS] if len(before) + len(after) < len(was) + len(now) else []
    spare: dict[str, list[str]] = {}
    for path in before:
        if path not in after and _PART.search(path):
            spare.setdefault(_PART.sub(r"\1", path), []).append(path)
    new = [path for path in after if path not in before and _PART.search(path)]
    for by_content in (True, False):
        for path in [each for each in new if each in after]:
            names = spare.get(_PART.sub(r"\1", path), [])
            original = next((name for name in names if not by_content or before[name] == after[path]), None)
            if original is not None:
                names.remove(original)
                after[original] = after.pop(path)
                aside.append(RENAMED.format(path, original))
    return before, after, aside


def _without_checksums(outputs: Mapping[str, str], others: Mapping[str, str]) -> Outputs:
    def is_checksum(path: str) -> bool:
        found = _CHECKSUM.fullmatch(path)
        return found is not None and f"{found[1]}{found[2]}" in outputs

    return {path: digest for path, digest in outputs.items() if others.get(path) == digest or not is_checksum(path)}
