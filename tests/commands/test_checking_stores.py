"""`history.check --store` names what was flipped, cut or removed in a store and what is foreign there, and no more."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.amltool_command import amltool, make_project, submit

SCRIPT = """
import random, sys
chance = random.Random(int(sys.argv[1]))
for number in range(int(sys.argv[1])):
    open(f"outputs/{number}.bin", "wb").write(chance.randbytes(chance.randint(1, 5000)))
print("done")
"""


def report(project: Path) -> tuple[int, dict[str, Any]]:
    done = amltool(project, "history.check", "--store", "--json", check=False)
    return done.returncode, json.loads(done.stdout)


def see_all_of_it_named(tmp_path: Path, count: int) -> None:
    store = tmp_path / "team"
    store.mkdir()
    project = make_project(
        tmp_path / "iris", {"train.py": SCRIPT, "aml_config/project.yml": f"artifact_store: {store}\n"}
    )
    record = submit(project, arguments=(str(count),))
    assert record["status"] == "Completed"
    exit_code, found = report(project)
    assert (exit_code, found["findings"]) == (0, [])
    chance = random.Random(7)
    objects = sorted(path for path in store.glob("objects/??/*") if path.stat().st_size)
    expected: dict[str, str] = {}
    for number, path in enumerate(objects):
        content = bytearray(path.read_bytes())
        path.chmod(0o644)
        if number % 4 == 0:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            path.write_bytes(content)
        elif number % 4 == 1:
            path.write_bytes(content[: chance.randrange(len(content))])
        elif number % 4 == 2:
            path.unlink()
        else:
            path.with_name(f"foreign-{number}").write_bytes(content)
            continue
        expected[path.name] = "missing" if number % 4 == 2 else "damaged"

    exit_code, found = report(project)

    assert exit_code == 1
    said = [each for each in found["findings"] if each["id"] == "artifact"]
    assert sum(" is damaged in " in each["message"] for each in said) == list(expected.values()).count("damaged")
    assert sum(" is missing in " in each["message"] for each in said) == list(expected.values()).count("missing")
    assert all(f"of run {record['run_id']}" in each["message"] for each in said)
    foreign = [each["message"] for each in found["findings"] if each["id"] == "foreign-object"]
    assert len(foreign) == min(100 + (len(objects) // 4 > 100), len(objects) // 4)


def test_what_is_wrong_in_a_folder_is_named(tmp_path: Path) -> None:
    see_all_of_it_named(tmp_path, 40)


@pytest.mark.torture
def test_a_thousand_things_that_are_wrong_in_a_folder_are_named(tmp_path: Path) -> None:
    see_all_of_it_named(tmp_path, 1400)


def test_a_store_that_is_away_is_a_finding(tmp_path: Path) -> None:
    store = tmp_path / "team"
    store.mkdir()
    project = make_project(
        tmp_path / "iris", {"train.py": SCRIPT, "aml_config/project.yml": f"artifact_store: {store}\n"}
    )
    submit(project, arguments=("2",))
    store.rename(tmp_path / "away")
    exit_code, found = report(project)
    assert exit_code == 1
    assert {each["id"] for each in found["findings"]} <= {"artifact", "store"}
    assert found["findings"]
