"""Folders that a run could have left, collected: all is kept or named, nothing foreign is taken, nothing hangs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from amltool.hosts.local import LocalHost
from amltool.layout import HostLayout
from amltool.targets.collecting import collect
from amltool.targets.following import ConsoleReader
from amltool.targets.live_logs import files_of
from amltool.testing.stores import FakeStore
from tests.hostile_scripts import FILES, hostile_script, seen_program, victim_program

SEEDS = range(40)


def told(victim: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", seen_program(), str(victim)], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_a_script_planted_its_run_is_collected(seed: int, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    subprocess.run([sys.executable, "-c", victim_program(), str(victim)], check=True)
    before = told(victim)
    host = LocalHost(tmp_path / "root")
    folder = HostLayout(host.root).run("20261121T081502-3f9c2ab-k4qd")
    for name, content in FILES.items():
        host.write(folder.work / name, content.encode())
    for made in (folder.outputs, folder.logs):
        host.make_folder(made)
        host.write(made / "file", b"honest")
    host.write(folder.console, b"hello\n")
    script = hostile_script(seed, str(victim), count=8)
    subprocess.run([sys.executable, "-c", script], cwd=folder.work, check=True, capture_output=True)

    store = FakeStore()
    found = collect(host, folder, store)
    assert b"".join(ConsoleReader(host, folder).rest()) in (b"", b"hello\n") or not Path(folder.console).is_symlink()
    list(files_of(host, folder.work))
    host.changed(folder.path, "work", "start.json", ["outputs"], 100)

    assert told(victim) == before
    precious = [content for content in store.contents.values() if content.startswith(b"precious")]
    assert not precious or "hard link" in script
    assert len({entry.path for entry in [*found.artifacts, *found.omitted]}) == len(found.artifacts) + len(
        found.omitted
    )
