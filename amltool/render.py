"""Values as terminal text: tables, one run, differences. Whatever came from elsewhere is made harmless first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from amltool.artifact import STORED_HERE
from amltool.run import EnvironmentUsed, LongList, Run, RunRecord, SharedFolder, WholeRecord
from amltool.tables import table
from amltool.text import LONGEST_CELL, harmless, harmless_lines

if TYPE_CHECKING:
    from amltool.artifact import Artifact, Metric, Omission
    from amltool.commands.attaching import Attached
    from amltool.commands.checking import HistoryReport
    from amltool.commands.cleaning import Removable
    from amltool.commands.comparing import Comparison
    from amltool.commands.doctor import Finding
    from amltool.commands.init import InitResult
    from amltool.commands.left_out import LeftOut
    from amltool.commands.reaching import CheckedTarget
    from amltool.commands.verdicts import VerdictReport
    from amltool.targets.live_logs import LiveFile

STATUS_STYLES = {"Completed": "green", "Failed": "red", "Canceled": "yellow", "Running": "cyan"}
LEVEL_STYLES = {"ok": "green", "warning": "yellow", "unreachable": "yellow", "error": "red"}
LONGEST_VALUE = 48
LONGEST_LINE = 200
LONGEST_COMMAND = 2000
MOST_TOLD = 20
MOST_ROWS = 100
"""Of parameters, tags and metrics of one run that are shown."""
LONGEST_TEXT = 10_000
"""Characters of a text that has lines of its own."""


def number(value: object) -> str:
    """A metric for people: six significant digits; what is no number in at most `LONGEST_VALUE` characters."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        text = ", ".join(map(number, value[:LONGEST_VALUE])) if isinstance(value, list) else str(value)
        return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def duration(seconds: float | None) -> str:
    """``h:mm:ss.mmm`` as the ancestor printed it (WORKBENCH 6), ``N/A`` when not known."""
    if seconds is None or seconds < 0:
        return "N/A"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes // 60)}:{int(minutes % 60):02d}:{rest:06.3f}"


def size(count: int | None) -> str:
    """Bytes for people (MB = 1024**2)."""
    if count is None:
        return "?"
    amount = float(count)
    for unit in ("B", "KB", "MB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GB"


def runs_table(runs: Sequence[Run], unfinished: Sequence[Mapping[str, Any]]) -> str:
    """The newest runs: metrics first as the ancestor had them, then what every run has."""
    logged = [*(row.get("metrics", {}) for row in unfinished), *(run.record.metrics for run in runs)]
    metrics = sorted({name for each in logged for name, metric in each.items() if metric.min is not None})[:4]
    columns = ["run", "no", "status", "script", "target", "started (UTC)", "duration", *metrics]
    # the run id begins with the second it was made
    dispensable = ["started (UTC)", "target", "no", *reversed(metrics[1:]), "duration", "script", *metrics[:1]]
    if any(row["note"] for row in unfinished):
        dispensable.remove("started (UTC)")
    rows: list[list[object]] = [
        [
            row["run_id"],
            row["run_number"],
            getattr(row["status"], "value", row["status"]),
            row["script"],
            row["target"],
            row["note"],
            "",
            *_last_of(row.get("metrics", {}), metrics),
        ]
        for row in unfinished
    ]
    for run in runs:
        record = run.record
        values = _last_of(record.metrics, metrics)
        rows.append(
            [
                record.run_id,
                record.run_number,
                record.status.value,
                record.script,
                record.target,
                (record.started or "not started")[:19].replace("T", " "),
                duration(record.duration_s),
                *values,
            ]
        )
    if not rows:
        return "No runs yet. Make one with: amltool submit SCRIPT --target local"
    return table(columns, rows, styles=STATUS_STYLES, dispensable=dispensable)


def _last_of(metrics: Mapping[str, Metric], names: Sequence[str]) -> list[str]:
    return [number(metrics[name].last) if name in metrics else "" for name in names]


def run_text(run: Run) -> str:
    """One run, all of it that a person asks about."""
    record = run.record
    lines = [
        f"Run {record.run_id} (number {record.run_number}): {record.status.value}{_ending(record)}",
        *_pairs(
            ("script", _cut(" ".join([record.script, *map(_quoted, record.arguments)]), LONGEST_COMMAND)),
            ("target", f"{record.target} ({record.target_type}) on {record.host}"),
            ("run configuration", record.run_configuration),
            ("commit", record.commit + (f" (uncommitted work on {record.base_commit[:12]})" if record.dirty else "")),
            ("started", record.started),
            ("duration", duration(record.duration_s)),
            (
                "time limit",
                f"{record.settings.timeout_s:g} s" if record.settings and record.settings.timeout_s else None,
            ),
            ("variables", _variables(record.environment_variables)),
            ("peak memory", size(record.peak_memory) if record.peak_memory else None),
            ("user", record.user),
            ("rerun of", record.rerun_of),
            ("environment", _environment(record.environment)),
            ("shared folder", _share(record.shared_folder)),
        ),
    ]
    lines += _logged(record.parameters, run.tags, record.metrics)
    if isinstance(record.whole, WholeRecord):
        shortened = ", ".join(map(harmless, record.whole.keys))
        lines += [
            "",
            f"Shortened here: {shortened}; whole, {size(record.whole.bytes)}: amltool show {record.run_id} --json",
        ]
    lines += ["", "Artifacts:", *_files(record.artifacts)]
    if record.omitted:
        lines += ["", "Not collected:", *_omitted(record.omitted)]
    if record.inputs:
        lines += ["", "Inputs:", *_inputs(record.inputs)]
    for event in run.promotions:
        lines.append(f"Promoted {harmless(event.path)} to the asset {harmless(event.name)}, version {event.version}")
    for verdict in run.verdicts:
        lines.append(f"Verdict of rerun {verdict.rerun} on {verdict.run_id}: {verdict.verdict}")
        lines += [f"  {harmless(cause)}" for cause in verdict.causes]
        if isinstance(verdict.not_compared, list):
            lines += [f"  not compared: {harmless(each)}" for each in verdict.not_compared]
    return "\n".join(lines)


def _logged(parameters: Mapping[str, str], tags: Mapping[str, str], metrics: Mapping[str, Metric]) -> list[str]:
    lines: list[str] = []
    for title, mapping in (("Parameters", parameters), ("Tags", tags)):
        if mapping:
            pairs = [(name, _cut(text, LONGEST_LINE)) for name, text in islice(mapping.items(), MOST_ROWS)]
            lines += ["", f"{title}:", *_pairs(*pairs), *_more(len(mapping) - MOST_ROWS)]
    if metrics:
        named = sorted(metrics.items())[:MOST_ROWS]
        rows = [(n, _last(m.last), _opt(m.min), _opt(m.max), m.count) for n, m in named]
        shown = table(("name", "last", "min", "max", "count"), rows)
        lines += ["", "Metrics:", shown, *_more(len(metrics) - MOST_ROWS)]
    return lines


def _inputs(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The inputs of a run: a record may be foreign, so nothing of an entry is taken for granted."""
    lines = []
    for entry in entries[:MOST_ROWS]:
        asset = f", asset {entry['asset']} version {entry.get('version')}" if entry.get("asset") else ""
        text = f"{entry.get('name')}: {entry.get('path')} of run {entry.get('run_id')}{asset}"
        lines.append(f"  {harmless(_cut(text, LONGEST_LINE))}, SHA-256 {harmless(str(entry.get('sha256'))[:12])}")
    return [*lines, *_more(len(entries) - MOST_ROWS)]


def _more(count: int) -> list[str]:
    return [f"  and {count} more; all of them: --json"] if count > 0 else []


def _variables(variables: Mapping[str, str] | None) -> str:
    return _cut(" ".join(f"{name}={_quoted(value)}" for name, value in (variables or {}).items()), LONGEST_LINE)


def _last(value: Any) -> str:
    """The last value of a metric; a long one stands in the record by its count."""
    is_reference = isinstance(value, dict) and value.keys() == {"count", "bytes", "sha256", "path"}
    return f"{value['count']} values" if is_reference else number(value)


def _cut(text: object, longest: int) -> str:
    cut = str(text)
    return cut if len(cut) <= longest else f"{cut[: longest - 1]}…"


def _environment(used: EnvironmentUsed) -> str | None:
    """The image as ``docker images`` names it."""
    image = f", image {used.image.removeprefix('sha256:')[:12]}" if used.image else ""
    return f"{used.lock_sha256[:12]}{image}" if used.lock_sha256 else None


def _ending(record: RunRecord) -> str:
    if record.signal:
        text = f", killed by {harmless(record.signal, LONGEST_CELL)}"
    elif record.exit_code is not None:
        text = f", exit code {record.exit_code}"
    else:
        text = ""
    return text + (f" ({harmless(record.reason, LONGEST_TEXT)})" if record.reason else "")


def _pairs(*pairs: tuple[str, object]) -> list[str]:
    shown = [(name, value) for name, value in pairs if value not in (None, "")]
    width = max((len(harmless(name, LONGEST_CELL)) for name, _ in shown), default=0)
    return [f"  {harmless(name, LONGEST_CELL):<{width}}  {harmless(value, LONGEST_TEXT)}" for name, value in shown]


def _opt(value: float | None) -> str:
    return "" if value is None else number(value)


def _quoted(argument: str) -> str:
    import shlex

    return shlex.quote(argument)


def _share(shared: SharedFolder | None) -> str | None:
    if shared is None:
        return None
    count = shared.at_end.count if isinstance(shared.at_end, LongList) else len(shared.at_end)
    return f"{shared.host_path} ({count} file{'s' * (count != 1)})"


def _files(artifacts: Any) -> list[str]:
    if isinstance(artifacts, LongList):
        listed = harmless(artifacts.path, LONGEST_CELL)
        return [f"  {artifacts.count} files, {size(artifacts.bytes)} (listed in {listed})"]
    return [f"  {size(artifact.size):>10}  {harmless(artifact.path)}" for artifact in artifacts] or ["  none"]


def _omitted(omitted: Any) -> list[str]:
    if isinstance(omitted, LongList):
        return [f"  {omitted.count} files (listed in {harmless(omitted.path, LONGEST_CELL)})"]
    return [
        f"  {harmless(o.path)} ({size(o.size)}): {harmless(o.reason)}"
        + (f", in {harmless(o.place)}" if o.place else "")
        for o in omitted
    ]


def unfinished_text(row: Mapping[str, Any]) -> str:
    """A run that is not in the history yet."""
    status, target = getattr(row["status"], "value", row["status"]), row["target"]
    if row.get("host"):
        target += f" ({row['target_type']}) on {row['host']}"
    commit = row.get("commit", "")
    if row.get("dirty"):
        commit += f" (uncommitted work on {row['base_commit'][:12]})"
    pairs = _pairs(
        ("script", " ".join([row["script"], *map(_quoted, row.get("arguments", ()))])),
        ("target", target),
        ("run configuration", row.get("run_configuration")),
        ("commit", commit),
        ("asked for", row.get("created")),
        (f"{status} since", row.get("since")),
        ("waits for", row.get("waits_for")),
        ("cancel", "asked for" if row.get("cancel_asked") else None),
        ("user", row.get("user")),
        ("rerun of", row.get("rerun_of")),
        ("note", row["note"]),
        ("live logs", row.get("logs")),
    )
    logged = _logged(row.get("parameters", {}), row.get("tags", {}), row.get("metrics", {}))
    return "\n".join([f"Run {row['run_id']} (number {row['run_number']}): {status}", *pairs, *logged])


def artifacts_table(artifacts: Sequence[Artifact]) -> str:
    """Artifacts with their size and digest, and where they are kept."""
    rows = [(each.path, size(each.size), each.sha256[:12], _kept_in(each.store)) for each in artifacts]
    return table(("path", "size", "sha256", "where"), rows) if rows else "No artifacts."


def _kept_in(store: str) -> str:
    return "the clone that made it" if store == STORED_HERE else store


def omissions_table(omissions: Sequence[Omission]) -> str:
    """Files that were not collected: why, and where they lay."""
    rows = [(each.path, size(each.size), each.reason, each.place or "") for each in omissions]
    return table(("path", "size", "why", "where"), rows)


def left_out_table(found: Sequence[LeftOut]) -> str:
    """Files that were not collected, and whether they can be fetched from the target now."""
    rows = [
        (
            each.path,
            size(each.there.size if each.there else each.omission.size),
            "can be fetched" if each.there else "no file there",
            each.omission.reason,
        )
        for each in found
    ]
    return table(("path", "size", "now", "why"), rows)


def rate_line(count: int, seconds: float) -> str:
    """The size of a transfer and its rate; empty where it took no time to speak of."""
    return f"{size(count)} in {seconds:.1f} s ({size(int(count / seconds))}/s)" if seconds >= 1 and count else ""


def query_text(result: Any) -> str:
    """The result of a query: a table where it is a list of rows, else JSON."""
    if isinstance(result, list) and result and all(isinstance(row, dict) for row in result):
        columns = list(dict.fromkeys(name for row in result for name in row))
        return table(columns, [[_cell(row.get(name)) for name in columns] for row in result], styles=STATUS_STYLES)
    if isinstance(result, str):
        return harmless(result)
    return harmless_json(result)


def harmless_json(value: Any) -> str:
    """JSON on several lines, control characters escaped."""
    import json

    return json.dumps(value, indent=2, ensure_ascii=True)


def _cell(value: Any) -> str:
    if value is None or isinstance(value, (str, int, float)):
        return number(value) if value is not None else ""
    import json

    return _cut(json.dumps(value, ensure_ascii=False), LONGEST_LINE)


def comparison_text(made: Comparison) -> str:
    """Runs side by side: only what differs, then what is the same."""
    short = [run.rsplit("-", 1)[-1] for run in made.runs]
    parts = []
    for title, rows in (("", made.fields), ("Metrics", made.metrics), ("Outputs (SHA-256)", made.outputs)):
        if rows:
            cells = [(name, *map(_cell, values)) for name, values in _by_key(rows)]
            parts.append((f"{title}\n" if title else "") + table(("", *short), cells))
    told = [("Files that differ between the commits", made.code), ("Packages", made.packages)]
    told += [(f"What {run.rsplit('-', 1)[-1]} left, against {short[0]}", lines) for run, lines in made.differences]
    for title, lines in told:
        if lines:
            shown = [*map(harmless, lines[:MOST_ROWS]), *_more(len(lines) - MOST_ROWS)]
            parts.append(f"{title}:\n" + "\n".join(f"  {line}" for line in shown))
    parts.append("The same: " + (", ".join(map(harmless, made.same)) or "nothing"))
    return "\n\n".join(parts)


def _by_key(rows: Iterable[tuple[str, Sequence[Any]]]) -> list[tuple[str, Sequence[Any]]]:
    """Rows; one whose values are maps as a row for each key that differs."""
    found: list[tuple[str, Sequence[Any]]] = []
    for name, values in rows:
        maps = [value or {} for value in values]
        if not all(isinstance(value, dict) for value in maps) or not any(maps):
            found.append((name, values))
            continue
        for key in dict.fromkeys(key for value in maps for key in value):
            inner = [value.get(key) for value in maps]
            if any(value != inner[0] for value in inner):
                found.append((f"{name}: {key}", inner))
    return found


def verdict_text(report: VerdictReport) -> str:
    """A verdict with what differs and the likely causes."""
    lines = [f"Verdict: {report.verdict.value}"]
    for title, rows in report.parts:
        differing = [row for row in rows if not row.same]
        if rows:
            lines.append(f"  {title}: {len(rows) - len(differing)} of {len(rows)} the same")
        lines += [f"    {harmless(row.text())}" for row in differing[:MOST_TOLD]]
        lines += [f"    and {len(differing) - MOST_TOLD} more"] if len(differing) > MOST_TOLD else []
    for title, sentences in (("Not compared", report.not_compared), ("Set aside", report.set_aside)):
        lines += [f"  {title}:", *(f"    {harmless(each)}" for each in sentences[:MOST_TOLD])] if sentences else []
    if report.causes:
        lines += ["  Likely causes:", *(f"    {harmless(cause)}" for cause in report.causes)]
    return "\n".join(lines)


def findings_text(report: HistoryReport) -> str:
    """What `history.check` found."""
    lines = [f"{f['level']}: {harmless(f['message'])}\n  {harmless(f['remedy'])}" for f in report.findings]
    lines.append(f"{report.runs} runs, {report.artifacts} artifacts: {'whole' if report.ok else 'not whole'}")
    return "\n".join(lines)


def check_text(report: Mapping[str, Any]) -> str:
    """What a submit would take, and what stands in its way."""
    limits = report["limits"]
    files = f"{report['files']} of at most {limits['max_files']}" if limits["max_files"] else report["files"]
    lines = [harmless(path) for path in report.get("paths", ())]
    lines.append(
        f"The snapshot: {size(report['size'])} of at most {size(limits['max_size'])}, {files} files "
        f"(profile {limits['profile']}, ruled by {report['ignore_file'] or 'no ignore file'})."
    )
    lines += [f"note: {harmless_lines(note)}" for note in report.get("notes", ())]
    for problem in report["problems"]:
        lines += ["", f"{problem['level']}: {harmless_lines(problem['message'])}"]
        if problem["remedy"]:
            lines.append(harmless_lines(problem["remedy"]))
    return "\n".join(lines).rstrip()


def targets_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Compute targets and the run configurations that use them."""
    if not rows:
        return "No compute targets. Make this repository a project with: amltool init"
    cells = [(row["name"], row["type"], row["address"], ", ".join(row["run_configurations"])) for row in rows]
    bad = [f"{row['name']} cannot be used: {harmless_lines(row['error'])}" for row in rows if row["error"]]
    return "\n\n".join([table(("target", "type", "address", "run configurations"), cells), *bad])


def checked_targets_table(targets: Sequence[CheckedTarget]) -> str:
    """Compute targets as they were found, with what to do about those that cannot be used."""
    if not targets:
        return targets_table(())
    rows = [
        (
            target.name,
            target.type,
            target.address,
            target.state.value,
            size(target.free) if target.free is not None else "",
            target.message + (f" {target.remedy}" if target.remedy else ""),
        )
        for target in targets
    ]
    columns = ("target", "type", "address", "state", "free", "what is there, and what to do")
    return table(columns, rows, styles=LEVEL_STYLES)


def attached_text(attached: Attached) -> str:
    """What `attach` found and wrote, and the next command."""
    lines = [
        f"{attached.username}@{attached.address} can be used: {attached.works}.",
        *(f"Wrote {path}" for path in attached.written),
        *(f"Kept {path}" for path in attached.kept),
        f"Next: amltool submit --target {_quoted(attached.name)} {_quoted(attached.script or 'train.py')}",
    ]
    return "\n".join(map(harmless, lines))


def doctor_text(findings: Sequence[Finding]) -> str:
    """What works and what does not, with the remedies."""
    rows = [(f.what, f.level, f.message + (f" {f.remedy}" if f.remedy else "")) for f in findings]
    return table(("what", "state", "why, and what to do"), rows, styles=LEVEL_STYLES)


def live_files_table(files: Sequence[LiveFile]) -> str:
    """The files of a run until now."""
    if not files:
        return "No files under logs/ or outputs/ yet."
    return table(("path", "size"), [(file.path, size(file.size)) for file in files])


def removable_text(found: Sequence[Removable], *, removed: bool = False) -> str:
    """What can go or went, sizes first: each thing, then how much of each kind."""
    if not found:
        return "Nothing to clean."
    rows = [(size(item.size), item.kind, item.target, item.place, item.reason) for item in found]
    kinds = dict.fromkeys(item.kind for item in found)
    of_kind = {kind: [item.size for item in found if item.kind == kind] for kind in kinds}
    sums = [f"{size(sum(sizes))}  {kind} ({len(sizes)})" for kind, sizes in of_kind.items()]
    total = size(sum(item.size for item in found))
    end = f"Removed {total}." if removed else f"{total} can go. Remove it with the same command and --yes."
    return "\n".join([table(("size", "what", "target", "where", "why"), rows), *(sums if len(sums) > 1 else ()), end])


def init_text(made: InitResult) -> str:
    """What `init` wrote and kept."""
    lines = [f"{done.value}: {harmless(path)}" for path, done in made.files]
    return "\n".join([*lines, *made.next_steps])
