"""Queries on runs, as the ancestor answered them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amltool.errors import UserError
from amltool.run import Run, RunRecord, parse_timestamp


def ancestor_row(run: Run) -> dict[str, Any]:
    """A row as the ancestor's queries expect it: metrics as top-level keys beside the run's own (WORKBENCH 6)."""
    record = run.record
    row: dict[str, Any] = {name: metric.last for name, metric in record.metrics.items()}
    row.update(
        run_id=record.run_id,
        run_number=record.run_number,
        script_name=record.script,
        arguments=record.arguments,
        target=record.target,
        status=record.status.value,
        created_utc=record.created,
        start_time_utc=record.started or "00:00 not started",
        end_time_utc=record.ended,
        duration=_ancestor_duration(record),
        user_id=record.user,
        commit=record.commit,
        tags=dict(run.tags),
        parameters=dict(record.parameters),
    )
    return row


def _ancestor_duration(record: RunRecord) -> str:
    if not record.started or not record.ended:
        return "N/A"
    span = parse_timestamp(record.ended) - parse_timestamp(record.started)
    return str(span) if span.total_seconds() > 0 else "N/A"


def query_runs(runs: Sequence[Run], query: str) -> Any:
    """The result of a JMESPath query on the ancestor's rows.

    Raises:
        UserError: the query cannot be read, or does not fit the rows.
    """
    import jmespath

    rows = [ancestor_row(run) for run in runs]
    try:
        result = jmespath.search(query, rows)
    except Exception as error:  # it compares what it is given: TypeError, ValueError and RecursionError are the query's
        said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
        raise _query_refused(said) from None
    if query.lstrip().startswith("&") and not isinstance(result, (dict, list, str, int, float, type(None))):
        raise _query_refused("it gives an expression, and no value")
    return result


def _query_refused(why: str) -> UserError:
    return UserError(
        f"The query cannot be used: {why}.",
        "See https://jmespath.org; a comparison needs two numbers: [?status=='Completed' && Accuracy > `0.9`].run_id",
    )
