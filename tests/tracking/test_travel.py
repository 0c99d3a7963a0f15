"""What travels is small, complete, and put on a host once."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

import pytest

from amltool.tracking import travel


class FolderHost:
    """As much of a host as installing needs, on this machine."""

    def __init__(self, root: Path) -> None:
        self.root = PurePosixPath(root)
        self.written = 0

    def exists(self, path: PurePosixPath) -> bool:
        return Path(path).exists()

    def write(self, path: PurePosixPath, content: bytes) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content)
        self.written += 1

    def rename(self, source: PurePosixPath, destination: PurePosixPath) -> None:
        if Path(destination).exists():
            raise FileExistsError(str(destination))
        Path(source).rename(destination)

    def remove(self, path: PurePosixPath) -> None:
        shutil.rmtree(path)


def test_what_travels_is_python_only_and_small() -> None:
    content = travel.files()

    assert all(path.endswith(".py") for path in content)
    assert sum(map(len, content.values())) < 330_000
    assert list(content) == sorted(content)


def test_what_a_run_needs_is_there() -> None:
    assert {
        "site/sitecustomize.py",
        "path/amltool/__init__.py",
        "path/amltool/tracking/__init__.py",
        "path/amltool/tracking/bootstrap.py",
        "path/azureml/logging.py",
        "path/azureml/core/run.py",
        "path/azureml/sdk/data_collector.py",
        "path/azureml/dataprep/package.py",
    } <= set(travel.files())


def test_the_folder_in_front_of_the_search_path_holds_one_file() -> None:
    assert [path for path in travel.files() if path.startswith("site/")] == ["site/sitecustomize.py"]


def test_a_real_azureml_without_an_init_file_is_not_hidden() -> None:
    assert "path/azureml/__init__.py" not in travel.files()


def test_every_file_compiles() -> None:
    for path, content in travel.files().items():
        compile(content, path, "exec", dont_inherit=True)


def test_installing_twice_writes_once(tmp_path: Path) -> None:
    host = FolderHost(tmp_path)

    first = travel.install(host)
    written = host.written
    second = travel.install(host)

    assert first == second
    assert host.written == written == len(travel.files())
    assert Path(first.site / "sitecustomize.py").is_file()
    assert Path(first.path / "amltool").is_dir()
    assert Path(first.bootstrap).is_file()
    assert [path.name for path in (tmp_path / "lib").iterdir()] == [first.folder.name]


def test_another_version_lies_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FolderHost(tmp_path)
    first = travel.install(host)
    newer = {**travel.files(), "path/amltool/__init__.py": b"__version__ = '9'\n"}
    monkeypatch.setattr(travel, "files", lambda: newer)

    second = travel.install(host)

    assert first.folder != second.folder
    assert Path(first.folder).is_dir()


def test_who_comes_second_uses_what_the_first_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FolderHost(tmp_path)
    place = host.rename

    def slower(source: PurePosixPath, destination: PurePosixPath) -> None:
        shutil.copytree(source, destination)
        place(source, destination)

    monkeypatch.setattr(host, "rename", slower)

    installed = travel.install(host)

    assert [path.name for path in (tmp_path / "lib").iterdir()] == [installed.folder.name]


def test_a_host_that_cannot_keep_it_is_left_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FolderHost(tmp_path)

    def full(source: PurePosixPath, destination: PurePosixPath) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(host, "rename", full)

    with pytest.raises(OSError, match="No space left"):
        travel.install(host)
    assert list((tmp_path / "lib").iterdir()) == []


def test_a_host_that_is_full_before_all_is_there_is_left_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FolderHost(tmp_path)
    write, room = host.write, iter(range(3))

    def until_full(path: PurePosixPath, content: bytes) -> None:
        if next(room, None) is None:
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(host, "write", until_full)

    with pytest.raises(OSError, match="No space left"):
        travel.install(host)
    assert list((tmp_path / "lib").iterdir()) == []
