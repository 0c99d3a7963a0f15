"""Why a rerun came out otherwise: what differs between two runs beside what they left, the likeliest cause first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amltool.environments.lock import compare_locks
from amltool.run import FolderFile, LongList, RunRecord

SHOWN = 5
"""Of a long list of differences, so many are named."""
NOTHING_DIFFERS = (
    "nothing recorded differs: something random, the clock, the network, the shell's variables or a file outside of "
    "the run is at work"
)
LONGEST_VALUE = 60
COUNTED_SETTINGS = ("timeout_s", "max_artifact_size", "profile")
"""Settings that a run can come out otherwise by."""

_IMPORT = re.compile(
    rb"^[ \t]*(?:import|from)[ \t]+(?:[\w.]+[ \t]*,[ \t]*)*(random|numpy|torch|sklearn|tensorflow|keras)\b", re.M
)
_SEED = re.compile(rb"seed|random_state|default_rng\(\s*[\w.]", re.I)


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of two runs: their records, their environment locks and the script, where those are here."""

    original: RunRecord
    rerun: RunRecord
    locks: tuple[bytes | None, bytes | None] = (None, None)
    script: bytes | None = None


def likely_causes(evidence: Evidence) -> list[str]:
    """Sentences that say what differs; when nothing does, what may be random or outside of what is recorded."""
    causes = [
        *_code(evidence.original, evidence.rerun),
        *_request(evidence.original, evidence.rerun),
        *_environment(evidence),
        *_shared_folder(evidence.original, evidence.rerun),
        *_target(evidence.original, evidence.rerun),
        *_seed(evidence.script),
    ]
    return causes or [NOTHING_DIFFERS]


def _code(original: RunRecord, rerun: RunRecord) -> list[str]:
    if original.tree != rerun.tree:
        return [f"the files differ: tree {original.tree[:12]} -> {rerun.tree[:12]}"]
    if original.commit != rerun.commit:
        return [f"the commit differs, though its files do not: {original.commit[:12]} -> {rerun.commit[:12]}"]
    return []


def _request(original: RunRecord, rerun: RunRecord) -> list[str]:
    causes = []
    if original.script != rerun.script:
        causes.append(f"the script differs: {original.script} -> {rerun.script}")
    if original.exact_arguments() != rerun.exact_arguments():
        causes.append("the arguments differ")
    was, now = original.run_configuration_content, rerun.run_configuration_content
    changed = [key for key in sorted({*was, *now}) if was.get(key) != now.get(key)]
    if changed:
        causes.append(f"the run configuration differs: {', '.join(changed)}")
    return [*causes, *_inputs(original, rerun), *_variables(original, rerun), *_settings(original, rerun)]


def _inputs(original: RunRecord, rerun: RunRecord) -> list[str]:
    was, now = lineage_of(original), lineage_of(rerun)
    changed = [name for name in sorted({*was, *now}) if was.get(name, "")[:64] != now.get(name, "")[:64]]
    return [f"inputs of the run differ: {_some(changed)}"] if changed else []


def _variables(original: RunRecord, rerun: RunRecord) -> list[str]:
    """Names only: a value may be long, or a reference that says nothing."""
    was, now = original.environment_variables, rerun.environment_variables
    if was is None or now is None:
        return []
    changed = [name for name in sorted({*was, *now}) if was.get(name) != now.get(name)]
    return [f"environment variables of the run differ: {_some(changed)}"] if changed else []


def _settings(original: RunRecord, rerun: RunRecord) -> list[str]:
    if original.settings is None or rerun.settings is None:
        return []
    was, now = original.settings, rerun.settings
    changed = [name for name in COUNTED_SETTINGS if getattr(was, name) != getattr(now, name)]
    return [f"the setting {name} differs: {getattr(was, name)} -> {getattr(now, name)}" for name in changed]


def _environment(evidence: Evidence) -> list[str]:
    was, now = evidence.original.environment, evidence.rerun.environment
    causes = []
    if was.image != now.image:
        causes.append(f"the image differs: {was.image or 'none'} -> {now.image or 'none'}")
    if was.spark and now.spark and was.spark != now.spark:
        causes.append(f"Spark differs: {was.spark} -> {now.spark}")
    if was.lock_sha256 != now.lock_sha256:
        first, second = evidence.locks
        if first is None or second is None:
            causes.append("the environment differs (its lock is not here)")
        else:
            causes.append(f"the environment differs: {_some(compare_locks(first, second))}")
    return causes


def _shared_folder(original: RunRecord, rerun: RunRecord) -> list[str]:
    was = original.shared_folder.at_start if original.shared_folder else []
    now = rerun.shared_folder.at_start if rerun.shared_folder else []
    if isinstance(was, LongList) or isinstance(now, LongList):
        return [] if was == now else ["the shared folder held other files at the start"]
    changed = _changed_files({file.path: file for file in was}, {file.path: file for file in now})
    return [f"the shared folder held something else at the start: {_some(changed)}"] if changed else []


def _changed_files(was: dict[str, FolderFile], now: dict[str, FolderFile]) -> list[str]:
    changed = []
    for path in sorted({*was, *now}):
        before, after = was.get(path), now.get(path)
        if before is None or after is None:
            changed.append(f"{path} is {'new' if before is None else 'gone'}")
        elif not _same_file(before, after):
            changed.append(f"{path} changed")
    return changed


def _same_file(before: FolderFile, after: FolderFile) -> bool:
    if before.size != after.size:
        return False
    if before.sha256 is not None and after.sha256 is not None:
        return before.sha256 == after.sha256
    return before.mtime == after.mtime


def lineage_of(record: RunRecord) -> dict[str, str]:
    """The inputs of a run by name: the SHA-256 of each and where it comes from. Records may be foreign."""
    entries = [entry for entry in record.inputs if isinstance(entry.get("name"), str)]
    return {entry["name"]: f"{entry.get('sha256')} {entry.get('run_id')}:{entry.get('path')}" for entry in entries}


def changed_settings(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """``memory 1024 -> 2048`` for each setting of a compute target that differs; values as the record has them."""
    changed = [key for key in sorted({*was, *now}) if was.get(key) != now.get(key)]
    return [f"{key} {_value(was.get(key))} -> {_value(now.get(key))}" for key in changed]


def _value(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _target(original: RunRecord, rerun: RunRecord) -> list[str]:
    causes = []
    if (original.target, original.target_type) != (rerun.target, rerun.target_type):
        names = f"{original.target} ({original.target_type}) -> {rerun.target} ({rerun.target_type})"
        causes.append(f"the compute target differs: {names}")
    elif original.compute and rerun.compute:
        changed = changed_settings(original.compute, rerun.compute)
        causes += [f"the compute target has other settings: {_some(changed)}"] if changed else []
    if original.host != rerun.host:
        causes.append(f"it ran on another machine: {original.host} -> {rerun.host}")
    return causes


def _seed(script: bytes | None) -> list[str]:
    """A guess from the script's text alone: it uses something random, and the word seed is nowhere in it."""
    if script is None or _SEED.search(script):
        return []
    used = sorted({found.decode() for found in _IMPORT.findall(script)})
    return [f"no seed seems to be set, and the script uses {', '.join(used)}"] if used else []


def _some(lines: Sequence[str]) -> str:
    more = f", and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return ", ".join(lines[:SHOWN]) + more
