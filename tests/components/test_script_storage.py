"""A script reads and writes durable storage with what its run was given; the key is nowhere else."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

import pytest

from tests.amltool_command import amltool, make_project, submit
from tests.components.azurite import ACCOUNT, KEY, Azurite, connection_string, make_container, url_of
from tests.components.canaries import Canaries
from tests.components.docker_projects import TOP

CONTAINER = "durable"
VARIABLE = "SCRIPT_STORAGE_OF_THE_TEST"
SCRIPT = """
import os
from amltool.tracking import storage
blob = storage.blob_client("data/numbers.txt")
blob.upload_blob(b"1 2 3", overwrite=True)
open("outputs/read.txt", "wb").write(storage.blob_client("data/numbers.txt").download_blob().readall())
print("key", storage.account_key())
print("all", os.environ["AMLTOOL_STORAGE_CREDENTIAL"])
"""


def test_by_the_setting(azurite: Azurite, tmp_path: Path, isolated_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_container(azurite, CONTAINER)
    monkeypatch.setenv(VARIABLE, connection_string(url_of(azurite.port)))
    address = f"azure://{ACCOUNT}/{CONTAINER}/{uuid.uuid4().hex}"
    settings = f"storage: {address}\nstorage_credential: ${{env:{VARIABLE}}}\n"
    project = make_project(tmp_path / "iris", {"train.py": SCRIPT, "aml_config/project.yml": settings})
    example = Path(TOP) / "examples/large_data/durable_storage.py"
    (project / "durable_storage.py").write_text(example.read_text())
    compute = project / "aml_config/local.compute"
    compute.write_text(f"{compute.read_text()}pythonLocation: {sys.executable}\n")

    with Canaries(KEY, allowed=(VARIABLE, "AZURITE_ACCOUNTS", "AMLTOOL_STORAGE_CREDENTIAL")) as canaries:
        record = submit(project)
        said = amltool(project, "logs", record["run_id"]).stdout
        shown = submit(project, "durable_storage.py")
        read = amltool(project, "outputs", "@2", "--path", "outputs/read.txt", "--stdout").stdout

    assert record["status"] == "Completed", said
    assert record["environment_variables"] == {
        "AMLTOOL_STORAGE": address,
        "AMLTOOL_STORAGE_CREDENTIAL": f"${{env:{VARIABLE}}}",
    }
    assert read == "1 2 3"
    assert shown["status"] == "Completed"
    assert amltool(project, "outputs", "@", "--path", "outputs/count.txt", "--stdout").stdout == "2560000\n"
    assert canaries.in_folders(project, isolated_home) == []
    assert not canaries.in_text(said.encode())
