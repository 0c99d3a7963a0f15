"""What a container wrote is written down below its folder, and nowhere else."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amltool.errors import TargetError
from amltool.launchers.copying import bring_logs
from amltool.launchers.unpacking import NOT_COPIED, Unpacking, opened
from amltool.layout import RunFolder

TOP = "azureml-run"
CHARACTER_DEVICE = tarfile.CHRTYPE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    (made / "work" / "logs").mkdir(parents=True)
    (tmp_path / "outside").write_text("untouched")
    return made


def member(name: str, content: bytes | None = None, *, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size, made.mode = kind, link, len(content or b""), 0o644
    return (
        made.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        + (content or b"")
        + bytes(-len(content or b"") % 512)
    )


def folder_member(name: str) -> bytes:
    return member(name, kind=tarfile.DIRTYPE)


def link(name: str, text: str) -> bytes:
    return member(name, kind=tarfile.SYMTYPE, link=text)


def unpack(folder: Path, *members: bytes) -> bytes | None:
    unpacking = Unpacking(folder, TOP)
    try:
        with opened(iter([*members, bytes(1024)])) as archive:
            while (found := archive.next()) is not None:
                unpacking.take(archive, found)
            return unpacking.finish()
    finally:
        unpacking.close()


def omitted(folder: Path) -> str:
    path = folder / "work" / "logs" / NOT_COPIED
    return path.read_text() if path.exists() else ""


def everything(top: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(top.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield str(path.relative_to(top)), path.read_bytes()


def test_files_and_folders_come_back(folder: Path) -> None:
    unpack(folder, folder_member(TOP), folder_member(f"{TOP}/work/outputs"), member(f"{TOP}/work/outputs/m", b"abc"))
    assert (folder / "work" / "outputs" / "m").read_bytes() == b"abc"
    assert not omitted(folder)


def test_how_it_ended_is_only_handed_over(folder: Path) -> None:
    assert unpack(folder, member(f"{TOP}/exit.json", b"{}")) == b"{}"
    assert not (folder / "exit.json").exists()


def test_an_end_that_is_a_link_is_none(folder: Path) -> None:
    assert unpack(folder, link(f"{TOP}/exit.json", "/outside")) is None


@pytest.mark.parametrize(
    "name",
    [
        "/etc/x", "../x", "x", f"{TOP}/../x", f"{TOP}/work/../../x", f"{TOP}//x", f"{TOP}/./x", f"{TOP}x/y",
        f"/{TOP}/x", "..",
    ],
)  # fmt: skip
def test_a_name_that_leads_out_is_not_written_and_said(folder: Path, name: str) -> None:
    before = list(everything(folder.parent))
    unpack(folder, member(name, b"foreign"))
    after = [(path, content) for path, content in everything(folder.parent) if NOT_COPIED not in path]
    assert after == before
    assert "not a path below the run's folder" in omitted(folder)


def test_nothing_is_written_through_a_link_of_the_archive(folder: Path) -> None:
    unpack(folder, link(f"{TOP}/work/a", ".."), member(f"{TOP}/work/a/b", b"x"), link(f"{TOP}/c", "../outside"),
           member(f"{TOP}/c", b"x"))  # fmt: skip
    assert (folder.parent / "outside").read_text() == "untouched"
    assert not (folder / "b").exists()


@pytest.mark.parametrize("name", ["work/gate/x", "work/gate"])
def test_nothing_is_written_through_a_link_that_lies_there(folder: Path, name: str) -> None:
    (folder / "work" / "gate").symlink_to(folder.parent if name.endswith("x") else folder.parent / "outside")
    unpack(folder, member(f"{TOP}/{name}", b"new"))
    assert (folder / name).read_bytes() == b"new"
    assert (folder.parent / "outside").read_text() == "untouched"
    assert not (folder.parent / "x").exists()


def test_links_are_as_they_were(folder: Path) -> None:
    unpack(folder, link(f"{TOP}/work/out", "/etc/shadow"), link(f"{TOP}/work/nowhere", "../../nothing"))
    assert str((folder / "work" / "out").readlink()) == "/etc/shadow"
    assert str((folder / "work" / "nowhere").readlink()) == "../../nothing"


@pytest.mark.parametrize("source", ["../outside", "/etc/passwd", f"{TOP}/../outside"])
def test_a_hard_link_to_the_outside_is_not_made(folder: Path, source: str) -> None:
    unpack(folder, member(f"{TOP}/work/twin", kind=tarfile.LNKTYPE, link=source))
    assert not (folder / "work" / "twin").exists()
    assert "twin" in omitted(folder)


def test_a_hard_link_within_is_one_file(folder: Path) -> None:
    unpack(folder, member(f"{TOP}/work/a", b"x"), member(f"{TOP}/work/b", kind=tarfile.LNKTYPE, link=f"{TOP}/work/a"))
    assert (folder / "work" / "a").samefile(folder / "work" / "b")


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, CHARACTER_DEVICE, tarfile.BLKTYPE])
def test_what_is_no_file_is_there_for_the_collector_to_name(folder: Path, kind: bytes) -> None:
    unpack(folder, member(f"{TOP}/work/outputs/odd", kind=kind))
    assert stat.S_ISFIFO((folder / "work" / "outputs" / "odd").lstat().st_mode)


def test_bits_that_give_rights_do_not_come_back(folder: Path) -> None:
    made = tarfile.TarInfo(f"{TOP}/work/tool")
    made.mode = 0o6755
    unpack(folder, made.tobuf(tarfile.GNU_FORMAT))
    assert stat.S_IMODE((folder / "work" / "tool").stat().st_mode) == 0o755


def test_unpacking_again_gives_the_same(folder: Path) -> None:
    members = [folder_member(f"{TOP}/work/a"), member(f"{TOP}/work/a/b", b"x"), link(f"{TOP}/work/c", "a")]
    unpack(folder, *members)
    before = list(everything(folder))
    unpack(folder, *members)
    assert list(everything(folder)) == before


def test_an_archive_that_breaks_off_is_the_targets_failure(folder: Path) -> None:
    with pytest.raises(TargetError):
        unpack(folder, member(f"{TOP}/work/a", b"x" * 100_000)[:-50_000])


names = st.lists(st.sampled_from([TOP, "work", "..", ".", "", "a", "b", "/"]), min_size=1, max_size=5).map("/".join)
kinds = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(names, kinds, names), max_size=8))
def test_no_archive_whatever_writes_outside(tmp_path: Path, members: list[tuple[str, bytes, str]]) -> None:
    top = tmp_path / os.urandom(4).hex()
    folder = top / "run"
    (folder / "work").mkdir(parents=True)
    (top / "outside").write_text("untouched")
    for times in range(2):
        made = [
            member(name, b"x" if kind == tarfile.REGTYPE else None, kind=kind, link=text)
            for name, kind, text in members
        ]
        unpack(folder, *made)
        assert sorted(path.name for path in top.iterdir()) == ["outside", "run"], times
        assert (top / "outside").read_text() == "untouched"
        assert (top / "outside").stat().st_nlink == 1


def test_opened_gives_content_in_whatever_pieces_it_comes() -> None:
    whole = member("a", b"x" * 5000) + bytes(1024)
    with opened(iter([whole[at : at + 7] for at in range(0, len(whole), 7)])) as archive:
        found = archive.next()
        assert found is not None
        stream = archive.extractfile(found)
        assert stream is not None
        assert io.BytesIO(stream.read()).getvalue() == b"x" * 5000


def unpack_and_name(folder: Path, missing: list[str], *members: bytes) -> None:
    unpacking = Unpacking(folder, TOP)
    try:
        with opened(iter([*members, bytes(1024)])) as archive:
            while (found := archive.next()) is not None:
                unpacking.take(archive, found)
            unpacking.name_missing(missing)
            unpacking.finish()
    finally:
        unpacking.close()


def test_what_no_archive_has_becomes_a_socket_and_what_it_has_stays(folder: Path) -> None:
    odd = os.fsdecode(b"\xff\xfe")
    kept = [member(f"{TOP}/work/outputs/{name}", b"x") for name in ("file", odd)]
    listed = ["work/outputs/file", "work/outputs/\ufffd\ufffd", "work/outputs/a/socket", "work/logs/socket"]
    unpack_and_name(folder, listed, *kept)
    sockets = {str(path.relative_to(folder)) for path in folder.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)}
    assert sockets == {"work/outputs/a/socket", "work/logs/socket"}
    assert (folder / "work/outputs/file").read_bytes() == b"x"


def test_a_socket_is_named_nowhere_but_where_artifacts_are(folder: Path) -> None:
    listed = ["../outside", "work/outputs/../../../outside", "work/outputs//x", "/work/outputs/x", "work/x", "home/x"]
    unpack_and_name(folder, [*listed, "exit.json", "work/outputs", "work/logs", ""])
    assert sorted(path.name for path in folder.rglob("*")) == ["logs", "work"]
    assert (folder.parent / "outside").read_text() == "untouched"


def test_where_no_socket_can_be_made_it_is_told_in_the_logs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("amltool.launchers.unpacking.os.mknod", refuse)
    unpack_and_name(folder, ["work/outputs/socket"])
    assert "socket': it is nothing that Docker can copy" in omitted(folder)


def test_logs_of_a_run_whose_folder_went_to_another_are_not_brought(tmp_path: Path) -> None:
    folder = RunFolder(PurePosixPath(tmp_path / "runs" / "run"))
    daemon: Any = SimpleNamespace(get=lambda *_: pytest.fail("asked for it"))

    bring_logs(daemon, "container", folder)

    assert not Path(folder.path).exists()
