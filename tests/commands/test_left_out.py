"""Files over the limit are named, warned of, and fetched from the target afterwards."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.amltool_command import amltool, make_project, submit

SCRIPT = """
import os
open("outputs/huge.bin", "wb").write(b"0123456789" * 1000)
open("outputs/small.txt", "w").write("small")
os.symlink("/etc/hostname", "outputs/link")
"""
HUGE = b"0123456789" * 1000


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {"train.py": SCRIPT, "aml_config/project.yml": "max_tracked_file_size: 5000\n"}
    return make_project(tmp_path / "iris", files)


def test_a_file_over_the_limit_is_fetched_afterwards(project: Path, tmp_path: Path) -> None:
    record = submit(project)
    assert {each["path"] for each in record["omitted"]} == {"outputs/huge.bin", "outputs/link"}
    assert "outputs/huge.bin" not in {each["path"] for each in record["artifacts"]}

    [huge, link] = amltool(project, "outputs", "@", "--from-target").stdout.strip().splitlines()[-2:]
    assert "can be fetched" in huge
    assert "no file there" in link

    done = amltool(project, "outputs", "@", "--from-target", "--download", str(tmp_path / "got"))
    assert (tmp_path / "got/outputs/huge.bin").read_bytes() == HUGE
    assert hashlib.sha256(HUGE).hexdigest() in done.stderr
    assert "outputs/link is not fetched" in done.stderr
    assert sorted(each.name for each in (tmp_path / "got").iterdir()) == ["outputs"]

    again = amltool(project, "outputs", "@", "--from-target", "--download", str(tmp_path / "got"), check=False)
    assert again.returncode == 1
    assert "There is a file name huge.bin existing in" in again.stderr
    amltool(project, "outputs", "@", "--from-target", "--download", str(tmp_path / "got"), "--overwrite")


def test_what_cannot_be_fetched_is_named_with_its_reason(project: Path, tmp_path: Path) -> None:
    submit(project)
    done = amltool(
        project, "outputs", "@", "--from-target", "--download", str(tmp_path), "--path", "outputs/link", check=False
    )
    assert done.returncode == 1
    assert "outputs/link: " in done.stderr


def test_a_link_that_was_put_in_its_place_since_is_not_followed(project: Path, tmp_path: Path) -> None:
    [place] = [each["place"] for each in submit(project)["omitted"] if each["path"] == "outputs/huge.bin"]
    (tmp_path / "secret").write_text("secret")
    Path(place).unlink()
    Path(place).symlink_to(tmp_path / "secret")
    done = amltool(project, "outputs", "@", "--from-target", "--download", str(tmp_path / "got"), check=False)
    assert done.returncode == 1
    assert not (tmp_path / "got").exists()


def test_a_folder_that_is_gone_is_a_sentence(project: Path) -> None:
    run_id = submit(project)["run_id"]
    amltool(project, "clean", "--only-copies", "--yes")
    done = amltool(project, "outputs", run_id, "--from-target", check=False)
    assert done.returncode == 1
    assert f"The folder of run {run_id} is not on" in done.stderr
    assert f"amltool rerun {run_id}" in done.stderr


def test_a_run_that_left_nothing_out_says_so(tmp_path: Path) -> None:
    project = make_project(tmp_path / "iris", {"train.py": "print('trained')\n"})
    submit(project)
    done = amltool(project, "outputs", "@", "--from-target", check=False)
    assert (done.returncode, "left out nothing" in done.stderr) == (1, True)


def test_json_says_what_is_there(project: Path) -> None:
    submit(project)
    found = json.loads(amltool(project, "outputs", "@", "--from-target", "--json").stdout)
    assert {each["omission"]["path"]: each["there"] is not None for each in found} == {
        "outputs/huge.bin": True,
        "outputs/link": False,
    }
