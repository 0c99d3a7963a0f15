"""Compare two or more runs: code, configuration, environment, metrics, outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from amltool.commands.artifacts import artifacts_of, kept_content, whole_run
from amltool.commands.causes import lineage_of
from amltool.commands.opening import Opened
from amltool.commands.spark_parts import paired_parts
from amltool.environments.lock import compare_locks
from amltool.errors import UserError
from amltool.run import Run


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between runs: a row is a name and one value a run; ``same`` names what does not differ.

    ``differences`` are, for each run but the first, the sentences a verdict on it would have.
    """

    runs: tuple[str, ...]
    fields: list[tuple[str, list[Any]]] = field(default_factory=list)
    metrics: list[tuple[str, list[Any]]] = field(default_factory=list)
    outputs: list[tuple[str, list[Any]]] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    differences: list[tuple[str, list[str]]] = field(default_factory=list)
    same: list[str] = field(default_factory=list)


FIELDS = ("status", "exit_code", "script", "arguments", "run_configuration", "target", "target_type", "host", "commit",
          "tree", "source_directory", "framework", "duration_s", "parameters", "run_configuration_content",
          "environment_variables", "inputs", "compute", "settings")  # fmt: skip

SPARK = "spark"
"""The version of Spark, of the record's environment."""


def compare(opened: Opened, runs: Sequence[Run]) -> Comparison:
    """Put runs side by side.

    Raises:
        UserError: fewer than two runs.
    """
    if len(runs) < 2:
        raise UserError("Cannot find runs of the provided run ids", "Name two runs or more: amltool compare @,@2")
    runs = [whole_run(opened, run) for run in runs]
    made = Comparison(tuple(run.run_id for run in runs))
    for name in (*FIELDS, SPARK):
        values = [_value(run, name) for run in runs]
        if any(value != values[0] for value in values):
            made.fields.append((name, values))
        else:
            made.same.append(name)
    for name in sorted({metric for run in runs for metric in run.record.metrics}):
        metrics = [run.record.metrics.get(name) for run in runs]
        made.metrics.append((name, [None if metric is None else metric.last for metric in metrics]))
    _compare_outputs(opened, runs, made)
    first, last = runs[0].record, runs[-1].record
    if first.commit != last.commit:
        made.code.extend(changed_files(opened, first.commit, last.commit))
    made.packages.extend(lock_differences(opened, runs[0], runs[-1]))
    made.differences.extend((run.run_id, _as_in_a_verdict(opened, runs[0], run)) for run in runs[1:])
    return made


def _value(run: Run, name: str) -> Any:
    if name == "inputs":
        return {name: text[:12] + text[64:] for name, text in lineage_of(run.record).items()}
    return run.record.environment.spark if name == SPARK else msgspec.to_builtins(getattr(run.record, name))


def _as_in_a_verdict(opened: Opened, first: Run, other: Run) -> list[str]:
    from amltool.commands.judging import left
    from amltool.commands.verdicts import compare_runs

    report = compare_runs(left(opened, first), left(opened, other))
    differing = [row.text() for _, rows in report.parts for row in rows if not row.same]
    return [*differing, *(f"set aside: {sentence}" for sentence in report.set_aside)]


def _compare_outputs(opened: Opened, runs: Sequence[Run], made: Comparison) -> None:
    kept = [
        {each.path: each.sha256 for each in artifacts_of(opened, run) if each.path.startswith("outputs/")}
        for run in runs
    ]
    for place in range(1, len(kept)):
        kept[0], kept[place], _ = paired_parts(kept[0], kept[place])
    for path in sorted({path for outputs in kept for path in outputs}):
        digests = [outputs[path][:12] if path in outputs else None for outputs in kept]
        if any(digest != digests[0] for digest in digests):
            made.outputs.append((path, digests))
        else:
            made.same.append(path)


def changed_files(opened: Opened, first: str, last: str) -> list[str]:
    """``M path`` lines: what Git says differs between two commits; empty where one is not in this clone."""
    exit_code, stdout, _ = opened.git.ask("diff-tree", "-r", "-z", "--name-status", "--end-of-options", first, last)
    if exit_code != 0:
        return []
    parts = stdout.decode("utf-8", "backslashreplace").split("\0")
    return [f"{kind} {path}" for kind, path in zip(parts[0::2], parts[1::2], strict=False)]


def lock_differences(opened: Opened, first: Run, last: Run) -> list[str]:
    """How the environments of two runs differ, package by package; empty when they are the same or not here."""
    locks = [lock_content(opened, run) for run in (first, last)]
    if locks[0] is None or locks[1] is None or locks[0] == locks[1]:
        return []
    return compare_locks(locks[0], locks[1])


def lock_content(opened: Opened, run: Run) -> bytes | None:
    """The environment lock of a run, ``None`` where this clone does not keep it."""
    digest = run.record.environment.lock_sha256
    return kept_content(opened, run, digest) if digest else None
