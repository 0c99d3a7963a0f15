"""What a run will need is opened before anything runs, and what computed can be kept once the setting is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.amltool_command import amltool, make_project, submit

SCRIPT = "open('outputs/m', 'w').write('x')\nprint('RAN')\n"
COMPUTE = "type: local\n"
UNUSABLE = {
    "a storage account without a container": "azure://account",
    "the same in capitals": "AZURE://account/",
    "an account that cannot be": "azure://Not.An.Account/container",
    "a container that cannot be": "azure://account/No_Container/prefix",
    "no kind at all": "azrue://x",
    "a relative folder": "relative/dir",
    "a folder that cannot be made": "/proc/nope",
    "the same as an address": "file:///proc/nope",
    "an address that cannot be read": "file://[",
    "a path that no system call takes": "file:///x%00y",
    "a file": "{}/file",
    "below a file": "{}/file/store",
    "a missing mount": "{}/mount/store",
    "a link that leads nowhere": "{}/dangling",
    "a store with a file where a folder should be": "{}/half",
    "the home folder of nobody": "~nobody-of-this-name/store",
}


def project_with(tmp_path: Path, compute: str = COMPUTE, settings: str = "") -> Path:
    files = {"t.py": SCRIPT, "aml_config/local.compute": compute, "aml_config/project.yml": settings}
    return make_project(tmp_path / "project", files)


@pytest.mark.parametrize(
    ("kind", "where"), [*((kind, "project") for kind in UNUSABLE), ("no kind at all", "compute"), ("a file", "compute")]
)
def test_a_store_that_cannot_be_used_is_found_out_before_anything_runs(tmp_path: Path, kind: str, where: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "half").mkdir()
    (tmp_path / "half/objects").write_text("x")
    address = json.dumps(UNUSABLE[kind].format(tmp_path))
    if where == "project":
        folder = project_with(tmp_path, settings=f"artifact_store: {address}\n")
    else:
        folder = project_with(tmp_path, compute=f"{COMPUTE}artifactStore: {address}\n")

    done = amltool(folder, "submit", "--target", "local", "t.py", check=False)

    assert done.returncode == 1
    assert "RAN" not in done.stdout
    assert "artifact store" in done.stderr
    assert "bug of its own" not in done.stderr
    assert not list((folder / ".git/amltool/runs").glob("*"))
    assert amltool(folder, "check", check=False).returncode == 1
    findings = json.loads(amltool(folder, "doctor", "--json", check=False).stdout)
    assert [finding["level"] for finding in findings if finding["what"] == "artifact store"] == ["error"]


@pytest.mark.parametrize("name", ["store", "store/objects", "store/incoming"])
def test_a_file_in_the_way_of_the_clones_own_store_is_found_out(tmp_path: Path, name: str) -> None:
    folder = project_with(tmp_path)
    path = folder / ".git/amltool" / name
    path.parent.mkdir(parents=True)
    path.write_text("x")

    done = amltool(folder, "submit", "--target", "local", "t.py", check=False)

    assert done.returncode == 1
    assert "artifact store" in done.stderr
    assert "RAN" not in done.stdout


def test_looking_at_the_places_leaves_nothing(tmp_path: Path) -> None:
    folder = project_with(tmp_path, settings=f"artifact_store: {tmp_path / 'store'}\n")
    amltool(folder, "check")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["project"]


@pytest.mark.parametrize("key", ["nativeSharedDirectory", "root"])
@pytest.mark.parametrize("value", ["/dev/null/x", "~nobody-of-this-name/x"])
def test_a_folder_of_the_target_that_cannot_be_written_is_found_out(tmp_path: Path, key: str, value: str) -> None:
    folder = project_with(tmp_path, compute=f"{COMPUTE}{key}: {value}\n")
    for words in (["submit", "--target", "local", "t.py"], ["check"], ["doctor"]):
        done = amltool(folder, *words, check=False)
        assert done.returncode == 1, words
        assert "RAN" not in done.stdout
        assert "bug of its own" not in done.stderr
    assert not list((folder / ".git/amltool/runs").glob("*"))


def test_the_store_of_a_compute_target_wins(tmp_path: Path) -> None:
    of_target, of_project = tmp_path / "of-target", tmp_path / "of-project"
    folder = project_with(tmp_path, f"{COMPUTE}artifactStore: {of_target}\n", f"artifact_store: {of_project}\n")

    record = submit(folder, "t.py")

    assert {artifact["store"] for artifact in record["artifacts"]} == {of_target.as_uri()}
    assert list(of_target.glob("objects/*/*"))
    assert not of_project.exists()
    amltool(folder, "outputs", record["run_id"], "--download", str(tmp_path / "got"))
    assert (tmp_path / "got/outputs/m").read_text() == "x"


@pytest.mark.parametrize("secret", ["https://a/b?sv=1&sig=abc", "azure://user:pw@account/x"])
def test_a_secret_in_the_store_of_a_compute_target_is_refused_and_not_repeated(tmp_path: Path, secret: str) -> None:
    folder = project_with(tmp_path, f"{COMPUTE}artifactStore: {secret}\n")
    done = amltool(folder, "submit", "t.py", "--target", "local", check=False)
    assert done.returncode == 1
    assert "holds a secret" in done.stderr
    assert secret not in done.stderr


@pytest.mark.parametrize("verb", ["wait", "show", "runs"])
@pytest.mark.parametrize("mended", ["by another store", "by the clone's own", "by the disk that is back"])
def test_a_run_whose_store_went_away_is_kept_once_the_setting_is_right(
    tmp_path: Path, hold: Path, verb: str, mended: str
) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    folder = project_with(tmp_path, settings=f"artifact_store: {mount / 'store'}\n")
    script = f"import os, time\nwhile os.path.exists({str(hold)!r}): time.sleep(0.02)\n{SCRIPT}"
    (folder / "t.py").write_text(script)
    run_id = json.loads(amltool(folder, "submit", "t.py", "--target", "local", "--detach", "--json").stdout)["run_id"]
    mount.rename(tmp_path / "unmounted")  # at once, for the run's driver writes there
    hold.unlink()
    refused = amltool(folder, "wait", run_id, check=False)
    assert refused.returncode == 1
    assert "cannot be kept" in refused.stderr
    assert f"amltool wait {run_id}" in refused.stderr

    if mended == "by the disk that is back":
        mount.mkdir()
    elif mended == "by another store":
        (folder / "aml_config/project.yml").write_text(f"artifact_store: {tmp_path / 'other'}\n")
    else:
        (folder / "aml_config/project.yml").write_text("")
    amltool(folder, verb, *([] if verb == "runs" else [run_id]))

    record = json.loads(amltool(folder, "show", run_id, "--json").stdout)
    assert record["status"] == "Completed"
    amltool(folder, "outputs", run_id, "--download", str(tmp_path / "got"))
    assert (tmp_path / "got/outputs/m").read_text() == "x"
    assert not list((folder / ".git/amltool/runs").glob("*"))
