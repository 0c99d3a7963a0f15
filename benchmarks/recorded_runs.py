"""Fills a project's run history: `python recorded_runs.py REPOSITORY RUNS COMMITS`, in a Python that has amltool.

Commits, notes and the ref that keeps snapshots go through ``git fast-import``; each record is built of amltool's own
classes and written by its own encoder, so that what is read later is what a real run leaves.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

from amltool import __version__
from amltool.artifact import Artifact, Metric
from amltool.layout import NOTES_REF, SNAPSHOTS_REF
from amltool.run import (
    EnvironmentUsed,
    FolderFile,
    ProjectNames,
    RunRecord,
    RunStatus,
    SharedFolder,
    event_to_line,
    new_run_id,
    timestamp,
)

USER = "Ada Lovelace <ada@example.org>"
START = datetime(2024, 1, 1, tzinfo=timezone.utc)
BETWEEN_COMMITS = timedelta(minutes=40)
RUN_CONFIGURATION = {
    "ArgumentVector": ["$file"],
    "Target": "local",
    "Framework": "Python",
    "CondaDependenciesFile": "aml_config/conda_dependencies.yml",
    "PrepareEnvironment": False,
    "TrackedRun": True,
}
NOTES_A_COMMIT = 1000
SNAPSHOTS_A_COMMIT = 100
BRANCH = "refs/heads/main"


def fast_import(repository: Path, commands: Iterator[bytes]) -> None:
    """Feed commands to ``git fast-import``."""
    process = subprocess.Popen(["git", "fast-import", "--quiet"], cwd=repository, stdin=subprocess.PIPE)
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as stream:
        for command in commands:
            stream.write(command)
    if process.wait() != 0:
        sys.exit(f"git fast-import gave {process.returncode}")


def data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


def commit_head(ref: str, when: datetime, message: str) -> bytes:
    head = f"commit {ref}\ncommitter {USER} {int(when.timestamp())} +0000\n"
    return head.encode() + data(message.encode())


def commits(count: int) -> Iterator[bytes]:
    """Commits on the branch, each of which changes one file."""
    for number in range(count):
        yield commit_head(BRANCH, START + number * BETWEEN_COMMITS, f"try {number}")
        if number == 0:
            yield f"from {BRANCH}^0\n".encode()
        yield b"M 100644 inline parameters.json\n" + data(b'{"lr": %.6f}\n' % (0.1 / (number + 1)))


def kept_snapshots(snapshots: list[str]) -> Iterator[bytes]:
    """The ref whose commits have the snapshots as parents."""
    for start in range(0, len(snapshots), SNAPSHOTS_A_COMMIT):
        parents = snapshots[start : start + SNAPSHOTS_A_COMMIT]
        yield commit_head(SNAPSHOTS_REF, START, "amltool: snapshots")
        if start == 0:
            yield f"from {parents.pop(0)}\n".encode()
        yield b"".join(f"merge {parent}\n".encode() for parent in parents)
        yield b"deleteall\n"


def notes(snapshots: list[tuple[str, str]], runs: int) -> Iterator[bytes]:
    """A note for each commit, with its share of the runs."""
    source = random.Random(runs)
    numbers = iter(range(1, runs + 1))
    for place, (commit, tree) in enumerate(snapshots):
        if place % NOTES_A_COMMIT == 0:
            yield commit_head(NOTES_REF, START + place * BETWEEN_COMMITS, "amltool: runs")
        share = runs // len(snapshots) + (place < runs % len(snapshots))
        lines = [
            event_to_line(record(commit, tree, next(numbers), START + place * BETWEEN_COMMITS, source))
            for _ in range(share)
        ]
        yield f"N inline {commit}\n".encode() + data(b"\n".join(lines) + b"\n")


def record(commit: str, tree: str, number: int, committed: datetime, source: random.Random) -> RunRecord:
    """A record as a short training on the local target leaves it."""
    created = committed + timedelta(seconds=60 * (number % 30) + source.random())
    took = timedelta(seconds=round(source.uniform(1, 600), 3))
    accuracy, losses = source.random(), sorted(source.random() for _ in range(2))
    files = [
        ("outputs/model.pkl", 1432),
        ("outputs/confusion.png", 18211),
        ("console.log", 2210),
        ("metrics.jsonl", 904),
    ]
    return RunRecord(
        run_id=new_run_id(commit, created),
        run_number=number,
        status=source.choices([RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELED], [90, 8, 2])[0],
        exit_code=0,
        script="train.py",
        arguments=["--lr", f"{source.random():.4f}", "--epochs", "20"],
        run_configuration="local",
        target="local",
        target_type="local",
        host="laptop",
        project=ProjectNames("ada", "research", "iris"),
        run_configuration_content=RUN_CONFIGURATION,
        commit=commit,
        tree=tree,
        base_commit=commit,
        created=timestamp(created),
        started=timestamp(created),
        ended=timestamp(created + took),
        duration_s=took.total_seconds(),
        user=USER,
        metrics={
            "Accuracy": Metric(last=accuracy, count=1, min=accuracy, max=accuracy),
            "loss": Metric(last=losses[0], count=20, min=losses[0], max=losses[1]),
        },
        parameters={"lr": f"{source.random():.4f}", "epochs": "20"},
        tags={"team": source.choice(["vision", "text", "ranking"])},
        artifacts=[Artifact(path, size, source.randbytes(32).hex()) for path, size in files],
        shared_folder=SharedFolder(
            "/home/ada/.azureml/share/ada/research/iris/",
            "/home/ada/.azureml/share/ada/research/iris/",
            at_end=[FolderFile("iris.csv", 4550, timestamp(created))],
        ),
        environment=EnvironmentUsed(source.randbytes(8).hex(), source.randbytes(32).hex()),
        peak_memory=source.randrange(10**8, 10**9),
        amltool=__version__,
    )


def main() -> None:
    repository, runs, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    fast_import(repository, commits(count))
    listed = subprocess.check_output(
        ["git", "log", f"-{count}", "--reverse", "--format=%H %T", BRANCH], cwd=repository, text=True
    )
    snapshots = [(commit, tree) for commit, tree in (line.split() for line in listed.splitlines())]
    fast_import(repository, kept_snapshots([commit for commit, _ in snapshots]))
    fast_import(repository, notes(snapshots, runs))


if __name__ == "__main__":
    main()
