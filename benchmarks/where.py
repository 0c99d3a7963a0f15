"""Print where the time of one submit goes: `python benchmarks/where.py [--files N] [--megabytes N] [--first]`.

Four looks at the same submit, each at a run of its own, as looking costs time itself:

* the whole process, undisturbed;
* imports by package (``-X importtime``; self time, so that packages add up);
* the calls of Git, when each began and how long it took, from Git's own trace (``trace2.eventTarget`` in the global
  configuration, as a ``GIT_TRACE2`` variable would not get through; time to start the process is not in it);
* with ``--profile`` our own functions by cProfile; where ``strace`` is installed, every process and the syncs to disk.
"""

from __future__ import annotations

import argparse
import json
import pstats
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

from measuring import BenchmarkError, Command
from overhead import run_root, submit
from sized_project import SCRIPT, SizedProject, make_sized_project
from surroundings import installed, surroundings

SUBMIT = ("submit", SCRIPT, "--target", "local")
UNDISTURBED = 5
SHOWN = 25


@dataclass(frozen=True, slots=True)
class GitCall:
    """One Git process: seconds after the submit began, seconds it lived, its arguments."""

    began: float
    took: float
    arguments: str


def main() -> None:
    """Make a project, warm everything, and look."""
    options = _options()
    try:
        with installed() as programs, surroundings(programs, 6) as place:
            project = make_sized_project(place, options.files, options.megabytes, packed=True)
            submit(project)

            def renew() -> None:
                project.commit_a_change()
                if options.first:
                    shutil.rmtree(run_root(place), ignore_errors=True)

            looks = [undisturbed, imports, git_calls, system_calls, *([profile] if options.profile else [])]
            for look in looks:
                print("\n".join(look(project, renew)), end="\n\n", flush=True)
    except BenchmarkError as error:
        sys.exit(str(error))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Print where the time of one submit goes.")
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--megabytes", type=int, default=1)
    parser.add_argument("--first", action="store_true", help="with no run folder to reuse")
    parser.add_argument("--profile", action="store_true", help="our functions, by cProfile")
    return parser.parse_args()


def undisturbed(project: SizedProject, renew: Callable[[], None]) -> Iterator[str]:
    found = []
    for _ in range(UNDISTURBED):
        renew()
        found.append(submit(project))
    spread = f"{min(found) * 1000:.0f} to {max(found) * 1000:.0f}"
    yield f"Whole process: median {median(found) * 1000:.0f} ms of {UNDISTURBED} ({spread} ms)"


def imports(project: SizedProject, renew: Callable[[], None]) -> Iterator[str]:
    """Self time of imports, added up by top-level package; of ours by sub-package."""
    renew()
    log = project.surroundings.folder / "imports.log"
    python = project.surroundings.programs / "python"
    line = ("sh", "-c", f'"{python}" -X importtime -m amltool {" ".join(SUBMIT)} 2>"{log}"')
    Command(line, project.folder, project.surroundings.environment).run()
    spent: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for match in re.finditer(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", log.read_text(), re.MULTILINE):
        module = match[2].split(".")
        package = ".".join(module[:2]) if module[0] == "amltool" else module[0]
        spent[package] += int(match[1])
        count[package] += 1
    yield f"Imports: {sum(spent.values()) / 1000:.0f} ms in {sum(count.values())} modules (measuring them included)"
    for package, microseconds in spent.most_common(SHOWN):
        yield f"  {microseconds / 1000:7.1f} ms  {count[package]:3} modules  {package}"


def git_calls(project: SizedProject, renew: Callable[[], None]) -> Iterator[str]:
    """When each Git began, how long it lived, and what it was asked."""
    renew()
    traces = project.surroundings.folder / "traces"
    traces.mkdir()
    configuration = project.surroundings.home / ".gitconfig"
    before = configuration.read_text()
    configuration.write_text(f'{before}[trace2]\n\teventTarget = "{traces}"\n')
    start = time.time()
    took = project.surroundings.program(project.folder, "amltool", *SUBMIT).time()
    configuration.write_text(before)
    calls = sorted((_git_call(trace, start) for trace in traces.iterdir()), key=lambda call: call.began)
    total = sum(call.took for call in calls)
    yield f"Git: {len(calls)} processes, {total * 1000:.0f} ms added up, in a submit of {took * 1000:.0f} ms"
    yield "    began      lived"
    for call in calls:
        yield f"  {call.began * 1000:7.1f} {call.took * 1000:7.1f} ms  git {call.arguments[:110]}"


def _git_call(trace: Path, start: float) -> GitCall:
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    began = next(event for event in events if event["event"] == "start")
    moment = datetime.fromisoformat(began["time"].replace("Z", "+00:00")).timestamp()
    # A Git that was killed leaves no last event.
    took = next((event["t_abs"] for event in events if event["event"] == "atexit"), float("nan"))
    return GitCall(moment - start, took, " ".join(began["argv"][1:]))


def system_calls(project: SizedProject, renew: Callable[[], None]) -> Iterator[str]:
    """Every program that was started, and how often and how long the disk was waited for."""
    if shutil.which("strace") is None:
        yield "System calls: strace is not installed."
        return
    renew()
    log = project.surroundings.folder / "strace.log"
    amltool = project.surroundings.program(project.folder, "amltool", *SUBMIT)
    traced = (
        "strace",
        "-f",
        "-T",
        "-ttt",
        "-s",
        "200",
        "-e",
        "trace=execve,fsync,fdatasync,sync_file_range,syncfs",
        "-o",
        str(log),
    )
    Command((*traced, *amltool.arguments), project.folder, amltool.environment).run()
    text = log.read_text(errors="replace")
    started = list(_started(text))
    yield f"Programs: {len(started)}"
    for moment, words in started:
        yield f"  {(moment - started[0][0]) * 1000:7.1f} ms  {words[:130]}"
    yield "Waits for the disk:"
    yield from _waits(text)


def _started(text: str) -> Iterator[tuple[float, str]]:
    """When each program started, and its words; what PATH was searched for in vain is left out."""
    unfinished: dict[str, tuple[float, str]] = {}
    for line in text.splitlines():
        process, _, rest = line.partition(" ")
        if begun := re.match(r' *([\d.]+) execve\("[^"]+", \[(.*?)\],', rest):
            unfinished[process] = float(begun[1]), begun[2].replace('", "', " ").strip('"')
        if process in unfinished and (ended := re.search(r"\) += (-?\d+)", rest)):
            found = unfinished.pop(process)
            if ended[1] == "0":
                yield found


def _waits(text: str) -> Iterator[str]:
    calls: Counter[str] = Counter()
    waited: Counter[str] = Counter()
    pattern = r"^\d+ +[\d.]+ (?:<\.\.\. )?(\w*sync\w*)[ (].*<([\d.]+)>$"
    for name, seconds in re.findall(pattern, text, re.MULTILINE):
        calls[name] += 1
        waited[name] += round(float(seconds) * 1e6)
    for name, count in calls.most_common():
        yield f"  {count:4} {name}: {waited[name] / 1000:.1f} ms"


def profile(project: SizedProject, renew: Callable[[], None]) -> Iterator[str]:
    """Functions by the time spent in them and below."""
    renew()
    result = project.surroundings.folder / "profile"
    python = project.surroundings.program(
        project.folder, "python", "-m", "cProfile", "-o", str(result), "-m", "amltool"
    )
    Command((*python.arguments, *SUBMIT), project.folder, python.environment).run()
    yield "Functions, by cumulative time:"
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = pstats.Stats(str(result)).stats  # type: ignore[attr-defined]
    ours = [(key, value) for key, value in stats.items() if "/amltool/" in key[0]]
    for (file, line, name), (_, calls, own, below, _) in sorted(ours, key=lambda item: -item[1][3])[: 2 * SHOWN]:
        place = file.rpartition("/amltool/")[2]
        yield f"  {below * 1000:7.1f} ms  own {own * 1000:6.1f} ms  {calls:5} calls  {place}:{line} {name}"


if __name__ == "__main__":
    main()
