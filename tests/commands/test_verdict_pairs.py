"""Pairs of runs that differ in exactly one thing: none is called reproduced; what only a clock wrote does not count.

Each pair is made from a seed, as records and files, without running anything.
"""

from __future__ import annotations

import copy
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from amltool.artifact import Artifact, Omission, fold_lines
from amltool.commands.verdicts import Left, VerdictReport, compare_runs
from amltool.run import EXACTLY, RunRecord, RunStatus, Tolerances, Verdict, new_run_id, timestamp

COMMIT = "3f9c2ab" + "0" * 33
THEN, LATER = (
    datetime(2026, 11, 21, 8, 15, 2, tzinfo=timezone.utc),
    datetime(2026, 12, 24, 23, 1, 7, tzinfo=timezone.utc),
)


@dataclass
class Made:
    """What one run left."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    omitted: list[Omission] = field(default_factory=list)
    exit_code: int = 0

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [entry for entry in self.entries if entry["kind"] == kind]

    def left(self, started: datetime) -> Left:
        content = {**self.files}
        if self.entries:
            content["metrics.jsonl"] = b"".join(msgspec.json.encode(entry) + b"\n" for entry in self.entries)
        artifacts = [Artifact(path, len(each), hashlib.sha256(each).hexdigest()) for path, each in content.items()]
        tracked = fold_lines([content.get("metrics.jsonl", b"")])
        record = RunRecord(
            run_id=new_run_id(COMMIT, started), commit=COMMIT, exit_code=self.exit_code, artifacts=artifacts,
            status=RunStatus.COMPLETED if self.exit_code == 0 else RunStatus.FAILED, omitted=self.omitted,
            created=timestamp(started), started=timestamp(started), ended=timestamp(started + timedelta(minutes=9)),
            metrics=tracked.metrics, parameters=tracked.parameters, tags=tracked.tags,
        )  # fmt: skip
        return Left(record, artifacts, self.omitted, lambda artifact: [content[artifact.path]])


def entry(kind: str, name: str, value: Any, step: Any = None) -> dict[str, Any]:
    return {"v": 1, "at": "2026-11-21T08:15:04.123Z", "kind": kind, "name": name, "value": value, "step": step}


def run_with_everything(draw: random.Random) -> Made:
    made = Made(files={"console.log": b"training\n", "outputs/roc.png": draw.randbytes(30)})
    for number in range(draw.randint(1, 4)):
        made.files[f"outputs/file {number}"] = draw.randbytes(draw.randint(1, 40))
    length = draw.randint(1, 60)
    made.entries = [entry("metric", "loss", draw.random(), step) for step in range(length)]
    made.entries += [entry("metric", "trend", draw.choice(["up", "down"])) for _ in range(draw.randint(1, 9))]
    made.entries += [entry("row", "folds", {"fold": n, "accuracy": draw.random()}) for n in range(draw.randint(1, 9))]
    made.entries.append(entry("list", "predictions", [draw.random() for _ in range(draw.randint(2, 99))]))
    made.entries.append(entry("table", "report", {"label": ["a", "b"], "f1": [draw.random(), draw.random()]}))
    made.entries.append(entry("image", "roc", "outputs/roc.png"))
    made.entries.append(entry("list", "losses", [0.5, draw.choice(["NaN", "Infinity", "-Infinity"])]))
    made.entries += [entry("parameter", "lr", draw.random()), entry("tag", "stage", "test")]
    return made


def run_that_prints(draw: random.Random) -> Made:
    lines = [f"epoch {n}: loss {draw.random():.6f}" for n in range(draw.randint(2, 40))]
    logs = [f"step {n} of layer {draw.randint(0, 9)}" for n in range(draw.randint(2, 40))]
    return Made(files={"console.log": "\n".join(lines).encode(), "logs/train.log": "\n".join(logs).encode()})


def of_kind(
    kind: str, change: Callable[[random.Random, dict[str, Any]], None]
) -> Callable[[random.Random, Made], None]:
    return lambda draw, made: change(draw, draw.choice(made.of(kind)))


def loss(made: Made) -> list[dict[str, Any]]:
    return [one for one in made.of("metric") if one["name"] == "loss"]


def change_value(draw: random.Random, made: Made) -> None:
    draw.choice(loss(made))["value"] += draw.choice([1e-12, -0.5, 3, 1e9])


def change_text(draw: random.Random, made: Made) -> None:
    draw.choice([one for one in made.of("metric") if one["name"] == "trend"])["value"] = "flat"


def change_step(draw: random.Random, made: Made) -> None:
    draw.choice(loss(made))["step"] += 1000


def change_element(draw: random.Random, one: dict[str, Any]) -> None:
    one["value"][draw.randrange(len(one["value"]))] = 7


def change_field(draw: random.Random, one: dict[str, Any]) -> None:
    one["value"][draw.choice(["fold", "accuracy"])] = draw.choice([-1, "x", None])


def change_cell(draw: random.Random, one: dict[str, Any]) -> None:
    one["value"][draw.choice(["label", "f1"])][draw.randrange(2)] = "other"


def set_value(value: Any) -> Callable[[random.Random, dict[str, Any]], None]:
    return lambda _, one: one.update(value=value)


def set_name(draw: random.Random, made: Made) -> None:
    draw.choice(made.entries)["name"] += "'"


def drop_entry(draw: random.Random, made: Made) -> None:
    made.entries.remove(draw.choice(made.entries))


def change_byte(path: str) -> Callable[[random.Random, Made], None]:
    def change(draw: random.Random, made: Made) -> None:
        content = bytearray(made.files[path])
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        made.files[path] = bytes(content)

    return change


def drop_output(_: random.Random, made: Made) -> None:
    del made.files["outputs/file 0"]


def add_output(draw: random.Random, made: Made) -> None:
    made.files[f"outputs/{draw.choice(['z', 'sub/x', 'file_1795255502.png'])}"] = b"x"


def rename_picture(_: random.Random, made: Made) -> None:
    made.files["outputs/roc_1795255999.png"] = made.files.pop("outputs/roc.png")  # the script's own name


def omit_output(draw: random.Random, made: Made) -> None:
    del made.files["outputs/file 0"]
    made.omitted = [Omission("outputs/file 0", draw.choice([None, 600]), "it is a link out of the run's folder")]


def other_exit(draw: random.Random, made: Made) -> None:
    made.exit_code = draw.randint(1, 255)


def change_word(path: str) -> Callable[[random.Random, Made], None]:
    def change(draw: random.Random, made: Made) -> None:
        lines = made.files[path].decode().split("\n")
        at = draw.randrange(len(lines))
        words = lines[at].split(" ")
        word = draw.randrange(len(words))
        words[word] = draw.choice([words[word] + "1", "x", ""])
        lines[at] = " ".join(words)
        made.files[path] = "\n".join(lines).encode()

    return change


def change_lines(path: str) -> Callable[[random.Random, Made], None]:
    def change(draw: random.Random, made: Made) -> None:
        lines = made.files[path].split(b"\n")
        at = draw.randrange(len(lines))
        if draw.random() < 0.5:
            del lines[at]
        else:
            lines.insert(at, b"one more")
        made.files[path] = b"\n".join(lines)

    return change


def drop_log(_: random.Random, made: Made) -> None:
    del made.files["logs/train.log"]


def change_log_bytes(_: random.Random, made: Made) -> None:
    made.files["logs/train.log"] = b"\0\1\2"


LOGGED: dict[str, Callable[[random.Random, Made], None]] = {
    "value": change_value,
    "text": change_text,
    "step": change_step,
    "list element": of_kind("list", change_element),
    "list length": of_kind("list", lambda _, one: one["value"].append(1)),
    "row field": of_kind("row", change_field),
    "table cell": of_kind("table", change_cell),
    "parameter": of_kind("parameter", set_value(5)),
    "tag": of_kind("tag", set_value("other")),
    "number told as text": lambda _, made: made.of("list")[1].update(words=[0]),
    "picture byte": change_byte("outputs/roc.png"),
    "picture path": rename_picture,
    "name": set_name,
    "lost entry": drop_entry,
    "output byte": change_byte("outputs/file 0"),
    "output missing": drop_output,
    "output new": add_output,
    "output not collected": omit_output,
    "exit code": other_exit,
}
PRINTED: dict[str, Callable[[random.Random, Made], None]] = {
    "console word": change_word("console.log"),
    "console line": change_lines("console.log"),
    "log word": change_word("logs/train.log"),
    "log line": change_lines("logs/train.log"),
    "log missing": drop_log,
    "log bytes": change_log_bytes,
    "exit code": other_exit,
}
CHANGES = [
    *((run_with_everything, *one) for one in LOGGED.items()),
    *((run_that_prints, *one) for one in PRINTED.items()),
]


def judged(was: Made, now: Made, tolerances: Tolerances = EXACTLY) -> VerdictReport:
    return compare_runs(was.left(THEN), now.left(LATER), tolerances)


@pytest.mark.parametrize("count", [75, pytest.param(2500, marks=pytest.mark.torture)])
def test_of_pairs_that_differ_in_one_thing_none_is_reproduced(count: int) -> None:
    for seed in range(count):
        draw = random.Random(seed)
        make, what, change = CHANGES[seed % len(CHANGES)]
        was = make(draw)
        now = copy.deepcopy(was)
        assert judged(was, now).verdict is Verdict.REPRODUCED, (seed, what)
        while now == was:
            change(draw, now)
        report = judged(was, now)
        expected = Verdict.NOT_COMPARABLE if what == "output not collected" else Verdict.DIFFERS
        assert report.verdict is expected, (seed, what, report)
        if expected is Verdict.NOT_COMPARABLE:
            assert report.not_compared


CLOCKED: dict[str, Callable[[datetime, random.Random], str]] = {
    "ISO": lambda now, _: now.isoformat(),
    "ISO with blank": lambda now, _: f"{now:%Y-%m-%d %H:%M:%S},{now.microsecond // 1000:03d} INFO",
    "date": lambda now, _: f"{now:%Y-%m-%d}",
    "slashes": lambda now, _: f"{now:%Y/%m/%d %H:%M:%S}",
    "compact": lambda now, _: f"model_{now:%Y%m%d-%H%M%S}",
    "ctime": lambda now, _: f"{now:%a %b %d %H:%M:%S %Y}",
    "date(1)": lambda now, _: f"{now:%a %b %d %H:%M:%S UTC %Y}",
    "syslog": lambda now, _: f"{now:%b %d %H:%M:%S}",
    "epoch": lambda now, _: f"{now.timestamp():.0f}",
    "epoch with fraction": lambda now, _: f"{now.timestamp():.6f}",
    "milliseconds": lambda now, _: f"{now.timestamp() * 1000:.0f}",
    "clock": lambda now, _: f"[{now:%H:%M:%S}]",
    "seconds": lambda _, draw: f"took {draw.uniform(0, 99):.2f}s",
    "words": lambda _, draw: f"{draw.uniform(0, 99):.3f} seconds",
    "milli": lambda _, draw: f"{draw.randint(1, 999)} ms",
    "minutes": lambda _, draw: f"{draw.randint(1, 59)}m{draw.uniform(0, 59):.1f}s",
    "timedelta": lambda _, draw: str(timedelta(seconds=draw.uniform(1, 1e5))),
    "elapsed": lambda _, draw: f"elapsed: {draw.uniform(0, 9):.4f}",
    "rate": lambda _, draw: f"{draw.uniform(0, 99):.2f} MB/s",
    "keras": lambda _, draw: f"1/1 - {draw.randint(1, 9)}s {draw.randint(1, 99)}ms/step",
    "tqdm": lambda _, draw: f"10/10 [00:0{draw.randint(1, 9)}<00:00, {draw.uniform(1, 9):5.2f}it/s]",
    "address": lambda _, draw: f"<Model object at 0x{draw.randint(1 << 44, 1 << 47):x}>",
    "temporary": lambda _, draw: f"/tmp/tmp{''.join(draw.choices('abcdefgh_1234', k=8))}/model",
    "process": lambda _, draw: f"pid={draw.randint(2, 30000)}",
}  # fmt: skip


@pytest.mark.parametrize("kind", CLOCKED)
def test_what_a_clock_wrote_is_set_aside_and_named(kind: str) -> None:
    for seed in range(5):
        draw = random.Random(seed)
        was = run_that_prints(draw)
        now = copy.deepcopy(was)
        was.files["console.log"] += f"\nwrote {CLOCKED[kind](THEN + timedelta(seconds=7), draw)} end".encode()
        now.files["console.log"] += f"\nwrote {CLOCKED[kind](LATER + timedelta(seconds=11), draw)} end".encode()
        report = judged(was, now)
        assert report.verdict is Verdict.REPRODUCED, report
        assert report.set_aside[0].startswith("console.log: a clock or chance wrote what differs: "), report


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("until 2019-03-01", "until 2019-03-02"),
        ("seen 1234567890", "seen 1234567891"),
        ("crc 0xdeadbeef", "crc 0xdeadbeee"),
        ("accuracy 0.91", "accuracy 0.92"),
        ("shape 3x4", "shape 3x5"),
        ("version 1.2.3", "version 1.2.4"),
        ("ratio 3:45", "ratio 3:46"),
        ("may 3", "may 4"),
        ("20190301-000000", "20190302-000000"),
    ],
)
def test_what_no_clock_of_the_run_wrote_is_data(was: str, now: str) -> None:
    pair = [Made(files={"console.log": f"{line}\n".encode()}) for line in (was, now)]
    assert judged(*pair).verdict is Verdict.DIFFERS


def test_a_progress_line_counts_as_it_was_in_the_end() -> None:
    pair = [Made(files={"console.log": line}) for line in (b"1%\r50%\rdone 100%\n", b"1%\r2%\r70%\rdone 100%\n")]
    report = judged(*pair)
    assert (report.verdict, "1 earlier state" in report.set_aside[0]) == (Verdict.REPRODUCED, True)


def test_run_ids_and_the_folder_of_a_run_are_set_aside() -> None:
    def printed(run_id: str) -> Left:
        content = f"run {run_id} in /root/.amltool/runs/{run_id}/work/x\n".encode()
        artifact = Artifact("console.log", len(content), hashlib.sha256(content).hexdigest())
        ended = {"started": timestamp(THEN), "ended": timestamp(THEN)}
        record = RunRecord(run_id=run_id, status=RunStatus.COMPLETED, exit_code=0, artifacts=[artifact], **ended)
        return Left(record, [artifact], [], lambda _: [content])

    report = compare_runs(*(printed(new_run_id(COMMIT, moment)) for moment in (THEN, LATER)))
    assert report.verdict is Verdict.REPRODUCED
    assert "1 run folder, 1 run id" in report.set_aside[0]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"12:01:02\n"])
def test_a_console_that_says_nothing_is_not_comparable(content: bytes) -> None:
    other = content.replace(b"12:01:02", b"13:04:05")
    made = [Made(files={"console.log": one}) for one in (content, other)]
    assert judged(*made).verdict is Verdict.NOT_COMPARABLE


@pytest.mark.parametrize("seed", range(20))
def test_numbers_within_the_tolerance_are_within_it_wherever_they_stand(seed: int) -> None:
    draw = random.Random(seed)
    was = run_with_everything(draw)
    now = copy.deepcopy(was)
    where = draw.choice([loss(now)[0], now.of("row")[0], now.of("list")[0], now.of("table")[0]])
    if where["kind"] == "metric":
        where["value"] *= 1.0001
    elif where["kind"] == "row":
        where["value"]["accuracy"] *= 1.0001
    elif where["kind"] == "list":
        where["value"][0] *= 1.0001
    else:
        where["value"]["f1"][0] *= 1.0001
    assert judged(was, now, Tolerances(rtol=0.001)).verdict is Verdict.WITHIN_TOLERANCE
    assert judged(was, now, Tolerances(rtol=0.00001)).verdict is Verdict.DIFFERS
    assert judged(was, now).verdict is Verdict.DIFFERS


def test_a_failed_run_is_compared_by_what_it_printed_too() -> None:
    was = Made(files={"outputs/x": b"1", "console.log": b"ValueError: a\n"}, exit_code=1)
    now = Made(files={"outputs/x": b"1", "console.log": b"KeyError: a\n"}, exit_code=1)
    assert judged(was, now).verdict is Verdict.DIFFERS
    assert judged(was, copy.deepcopy(was)).verdict is Verdict.REPRODUCED
