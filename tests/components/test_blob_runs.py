"""Runs whose artifacts go to Azure Blob Storage: got in another clone, kept when the store is back, secret nowhere."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.amltool_command import amltool, make_project, submit
from tests.components.azurite import ACCOUNT, KEY, Azurite, connection_string, make_container, url_of
from tests.components.canaries import Canaries
from tests.components.faulty_proxy import Fault, FaultyProxy
from tests.repositories import git

CONTAINER = "runs"
VARIABLE = "STORE_OF_THE_TEST"
SCRIPT = """
import os
os.makedirs("outputs/deep", exist_ok=True)
open("outputs/model.bin", "wb").write(bytes(range(256)) * 40_000)
open("outputs/deep/small.txt", "w").write("small")
open("logs/train.log", "w").write("epoch 1")
print("trained")
"""
HELD = "import os, time\nwhile os.path.exists({!r}): time.sleep(0.02)\n"


@pytest.fixture
def proxy(azurite: Azurite) -> Iterator[FaultyProxy]:
    make_container(azurite, CONTAINER)
    with FaultyProxy(azurite.port) as started:
        yield started


@pytest.fixture
def project(proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, connection_string(url_of(proxy.port)))
    settings = f"artifact_store: {address()}\nartifact_store_credential: ${{env:{VARIABLE}}}\n"
    files = {"train.py": SCRIPT, "aml_config/project.yml": settings}
    return make_project(tmp_path / "iris", files)


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Path]:
    """While it is there, runs go on."""
    made = tmp_path / "hold"
    made.touch()
    yield made
    made.unlink(missing_ok=True)


def address() -> str:
    return f"azure://{ACCOUNT}/{CONTAINER}/{uuid.uuid4().hex}"


def contents_of(store: str) -> dict[str, bytes]:
    """Every blob below the address of a store."""
    from azure.storage.blob import ContainerClient  # noqa: TID251 (a test looks behind our back)

    container = ContainerClient.from_connection_string(os.environ[VARIABLE], CONTAINER)
    prefix = store.rpartition("/")[2]
    found = container.list_blobs(name_starts_with=f"{prefix}/")
    return {each.name: container.download_blob(each.name).readall() for each in found}


def second_clone(project: Path, folder: Path) -> Path:
    """A clone on another machine, as far as amltool can tell, with the run history that plain Git brings."""
    git(project.parent, "clone", "-q", str(project), str(folder))
    git(folder, "fetch", "-q", "origin", "refs/notes/amltool/*:refs/notes/amltool/*")
    return folder


def test_outputs_come_out_equal_in_a_second_clone_and_the_key_is_nowhere(
    project: Path, isolated_home: Path, tmp_path: Path
) -> None:
    with Canaries(KEY, allowed=(VARIABLE, "AZURITE_ACCOUNTS")) as canaries:
        record = submit(project)
        clone = second_clone(project, tmp_path / "clone")
        run_id, to = record["run_id"], tmp_path / "got"
        said = amltool(clone, "outputs", run_id, "--download", str(to)).stdout
        refused = amltool(clone, "outputs", run_id, "--download", str(to), "--path", "outputs/*", check=False)
        (to / "outputs/model.bin").write_bytes(b"other")
        amltool(clone, "outputs", run_id, "--download", str(to), "--path", "outputs/*", "--overwrite")
        said += amltool(clone, "logs", run_id).stdout + amltool(clone, "doctor", check=False).stdout

    assert record["status"] == "Completed"
    assert {each["store"] for each in record["artifacts"]} == {
        line.split()[1] for line in (project / "aml_config/project.yml").read_text().splitlines()[:1]
    }
    assert (to / "outputs/model.bin").read_bytes() == bytes(range(256)) * 40_000
    assert (to / "outputs/deep/small.txt").read_text() == "small"
    assert (to / "logs/train.log").read_text() == "epoch 1"
    assert "trained" in said
    assert refused.returncode == 1
    assert "There is a file name model.bin existing in" in refused.stderr
    assert not (clone / ".git/amltool/store/objects").exists()
    assert canaries.seen
    assert canaries.in_processes == []
    assert canaries.in_folders(project, clone, isolated_home, to) == []
    assert not canaries.in_objects(project)
    blobs = contents_of(record["artifacts"][0]["store"])
    assert any(name.endswith("/run.json") for name in blobs)
    assert [name for name, content in blobs.items() if canaries.in_text(content)] == []
    assert not canaries.in_text(said.encode() + refused.stderr.encode())


def test_a_run_whose_store_is_away_stays_finalizing_until_it_is_back(
    project: Path, proxy: FaultyProxy, hold: Path, tmp_path: Path
) -> None:
    (project / "train.py").write_text(HELD.format(str(hold)) + SCRIPT)
    run_id = json.loads(amltool(project, "submit", "train.py", "--target", "local", "--detach", "--json").stdout)[
        "run_id"
    ]
    proxy.fault = lambda _: Fault(status=503)
    hold.unlink()

    refused = amltool(project, "wait", run_id, check=False)

    assert refused.returncode == 1
    assert "answers with 503" in refused.stderr
    assert f"amltool wait {run_id}" in refused.stderr
    [listed] = json.loads(amltool(project, "runs", "--json", check=False).stdout)
    assert listed["status"] == "Finalizing"

    proxy.fault = lambda _: None
    amltool(project, "wait", run_id)
    record = json.loads(amltool(project, "show", run_id, "--json").stdout)
    assert record["status"] == "Completed"
    assert {"outputs/model.bin", "outputs/deep/small.txt", "console.log"} <= {
        each["path"] for each in record["artifacts"]
    }
    amltool(project, "outputs", run_id, "--download", str(tmp_path / "got"))
    assert (tmp_path / "got/outputs/deep/small.txt").read_text() == "small"


def test_a_store_that_goes_away_while_it_is_sent_leaves_no_record_that_claims_what_is_not_there(
    project: Path, proxy: FaultyProxy, tmp_path: Path
) -> None:
    """Everything but content passes: the store is open, and nothing arrives."""
    proxy.fault = lambda request: Fault(cut_request=0) if request.size > 1 and request.method == "PUT" else None

    refused = amltool(project, "submit", "train.py", "--target", "local", check=False)

    assert refused.returncode == 1
    assert "does not answer" in refused.stderr
    assert "bug of its own" not in refused.stderr
    assert "amltool wait" in refused.stderr
    proxy.fault = lambda _: None
    amltool(project, "wait", "@")
    record = json.loads(amltool(project, "show", "@", "--json").stdout)
    assert record["status"] == "Completed"
    amltool(project, "outputs", "@", "--download", str(tmp_path / "got"))
    for artifact in record["artifacts"]:
        assert hashlib.sha256((tmp_path / "got" / artifact["path"]).read_bytes()).hexdigest() == artifact["sha256"]


def test_a_store_that_cannot_be_opened_is_found_out_before_anything_runs(project: Path, proxy: FaultyProxy) -> None:
    proxy.fault = lambda _: Fault(status=403)
    for words in (["submit", "train.py", "--target", "local"], ["check"], ["doctor"]):
        done = amltool(project, *words, check=False)
        assert done.returncode == 1, words
        assert "refuses the sign-in" in done.stdout + done.stderr
    assert not list((project / ".git/amltool/runs").glob("*"))


def test_a_compute_target_brings_its_own_store_and_sign_in(project: Path, tmp_path: Path) -> None:
    (project / "aml_config/project.yml").write_text("")
    compute = f"type: local\nartifactStore: {address()}\nartifactStoreCredential: ${{env:{VARIABLE}}}\n"
    (project / "aml_config/local.compute").write_text(compute)

    record = submit(project)

    assert {each["store"] for each in record["artifacts"]} == {compute.split()[3]}
    assert record["compute"]["artifactStoreCredential"] == f"${{env:{VARIABLE}}}"
    amltool(project, "outputs", "@", "--download", str(tmp_path / "got"))
    assert (tmp_path / "got/outputs/deep/small.txt").read_text() == "small"


def test_a_check_of_the_store_names_what_is_flipped_cut_missing_and_foreign(project: Path) -> None:
    from azure.storage.blob import ContainerClient  # noqa: TID251 (a test looks behind our back)

    record = submit(project)
    sound = json.loads(amltool(project, "history.check", "--store", "--json").stdout)
    container = ContainerClient.from_connection_string(os.environ[VARIABLE], CONTAINER)
    prefix = record["artifacts"][0]["store"].rpartition("/")[2]
    top = f"{prefix}/local/default/iris/{record['run_id']}"
    flipped, cut = bytes([1]) + bytes(range(1, 256)) + bytes(range(256)) * 39_999, b"smal"
    for path, content in (("outputs/model.bin", flipped), ("outputs/deep/small.txt", cut)):
        container.upload_blob(f"{top}/{path}", content, overwrite=True)
    container.delete_blob(f"{top}/logs/train.log")
    container.upload_blob(f"{top}/outputs/strange.txt", b"strange")

    done = amltool(project, "history.check", "--store", "--json", check=False)

    assert (sound["ok"], sound["findings"], done.returncode) == (True, [], 1)
    said = {each["message"].split(" of run ")[0]: each["message"] for each in json.loads(done.stdout)["findings"]}
    assert "is damaged in" in said["outputs/model.bin"]
    assert "is damaged in" in said["outputs/deep/small.txt"]
    assert "is missing in" in said["logs/train.log"]
    foreign = [message for message in said.values() if "is foreign in" in message]
    assert any("outputs/strange.txt" in message for message in foreign)
