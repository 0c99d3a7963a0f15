"""Collecting what a run left: what becomes an artifact, what is only named, and that nothing hangs or leaks."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import random
import socket
import stat
from pathlib import Path, PurePosixPath

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.artifact import Artifact
from amltool.errors import TargetError
from amltool.files import safe_text
from amltool.hosts.local import LocalHost
from amltool.layout import LONG_LIST, HostLayout, RunFolder
from amltool.run import LongList
from amltool.targets.collecting import Collection, Seen, as_record_list, collect, over, readable_names
from amltool.testing.stores import FakeStore

RUN_ID = "20261121T081502-3f9c2ab-k4qd"
SECRET = b"root:x:0:0"


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    made = HostLayout(PurePosixPath(tmp_path / "root")).run(RUN_ID)
    Path(made.outputs).mkdir(parents=True)
    Path(made.logs).mkdir()
    Path(made.console).write_bytes(b"hello\n")
    return made


@pytest.fixture
def host(folder):
    return LocalHost(Path(folder.path.parent.parent))


@pytest.fixture
def store():
    return FakeStore()


@pytest.fixture
def outputs(folder) -> Path:
    return Path(folder.outputs)


@pytest.fixture
def logs(folder) -> Path:
    return Path(folder.logs)


def contents(found: Collection, store: FakeStore) -> dict[str, bytes]:
    return {artifact.path: store.contents[artifact.sha256] for artifact in found.artifacts}


def reasons(found: Collection) -> dict[str, str]:
    return {omission.path: omission.reason for omission in found.omitted}


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def test_outputs_logs_console_and_metrics_are_artifacts_under_their_names(host, folder, store, outputs, logs):
    (outputs / "a" / "b").mkdir(parents=True)
    (outputs / "a" / "b" / "model.pkl").write_bytes(b"model")
    (logs / "train.log").write_bytes(b"epoch 1")
    Path(folder.metrics).write_bytes(b"")
    found = collect(host, folder, store)
    assert contents(found, store) == {
        "console.log": b"hello\n",
        "logs/train.log": b"epoch 1",
        "metrics.jsonl": b"",
        "outputs/a/b/model.pkl": b"model",
    }
    assert found.omitted == []


def test_an_artifact_says_its_size_its_digest_and_its_store(host, folder, outputs):
    (outputs / "x").write_bytes(b"12345")
    found = collect(host, folder, FakeStore("azure://account/container/prefix"))
    sha256 = hashlib.sha256(b"12345").hexdigest()
    assert found.artifacts[-1] == Artifact("outputs/x", 5, sha256, "azure://account/container/prefix")
    assert found.size == 11


def test_a_run_that_left_nothing_has_nothing(host, folder, store):
    Path(folder.console).unlink()
    assert collect(host, folder, store) == Collection([], [], collect(host, folder, store).tracked)


def test_a_run_that_removed_its_outputs_folder_keeps_the_rest(host, folder, store, outputs):
    outputs.rmdir()
    assert list(contents(collect(host, folder, store), store)) == ["console.log"]


def test_empty_folders_are_not_recorded(host, folder, store, outputs):
    (outputs / "empty").mkdir()
    found = collect(host, folder, store)
    assert (list(contents(found, store)), found.omitted) == (["console.log"], [])


def test_what_the_script_logged_is_folded(host, folder, store):
    Path(folder.metrics).write_bytes(
        b'{"v":1,"kind":"metric","name":"accuracy","value":0.5}\n'
        b"a line of the script's own\n"
        b'{"v":1,"kind":"metric","name":"accuracy","value":0.75}\n'
        b'{"v":1,"kind":"parameter","name":"lr","value":"0.1"}'
    )
    tracked = collect(host, folder, store).tracked
    assert (tracked.metrics["accuracy"].last, tracked.metrics["accuracy"].count) == (0.75, 2)
    assert tracked.parameters == {"lr": "0.1"}
    assert tracked.damaged_lines == 1


def test_metrics_longer_than_a_block_lose_no_line(host, folder, store):
    line = b'{"v":1,"kind":"metric","name":"loss","value":%d}\n'
    Path(folder.metrics).write_bytes(b"".join(line % number for number in range(50_000)))
    assert collect(host, folder, store).tracked.metrics["loss"].count == 50_000


class TestSize:
    def test_a_file_over_the_limit_is_named_with_size_place_and_reason(self, host, folder, store, outputs):
        with (outputs / "huge.bin").open("wb") as stream:
            stream.truncate(600 << 20)
        found = collect(host, folder, store)
        [omission] = found.omitted
        assert (omission.path, omission.size, omission.reason) == ("outputs/huge.bin", 600 << 20, "over 512 MB")
        assert Path(omission.place) == outputs / "huge.bin"

    def test_a_file_of_exactly_the_limit_is_collected(self, host, folder, store, outputs):
        (outputs / "x").write_bytes(b"12345678")
        assert "outputs/x" in contents(collect(host, folder, store, max_artifact_size=8), store)

    def test_our_own_files_have_no_limit_of_the_users(self, host, folder, store, outputs):
        Path(folder.console).write_bytes(b"x" * 100)
        line = b'{"v":1,"kind":"metric","name":"loss","value":1}\n'
        Path(folder.metrics).write_bytes(line * 9)
        found = collect(host, folder, store, max_artifact_size=5)
        assert found.omitted == []
        assert found.tracked.metrics["loss"].count == 9
        assert [one.path for one in found.artifacts] == ["console.log", "metrics.jsonl"]

    def test_a_console_over_our_own_limit_is_named_and_the_rest_is_kept(
        self, host, folder, store, outputs, monkeypatch
    ):
        monkeypatch.setattr("amltool.targets.collecting.MAX_OWN_SIZE", 50)
        Path(folder.console).write_bytes(b"x" * 100)
        (outputs / "x").write_bytes(b"small")
        found = collect(host, folder, store)
        assert [(one.path, one.size, one.place) for one in found.omitted] == [("console.log", 100, str(folder.console))]
        assert "outputs/x" in contents(found, store)

    @pytest.mark.parametrize(
        ("limit", "said"), [(512 << 20, "over 512 MB"), ((3 << 20) // 2, "over 1.50 MB"), (8, "over 8 bytes")]
    )
    def test_the_reason_says_the_limit(self, limit, said):
        assert over(limit) == said


class TestLinks:
    def test_a_link_to_a_file_inside_the_run_folder_gives_its_content(self, host, folder, store, outputs):
        (outputs / "ckpt-5").write_bytes(b"weights")
        (outputs / "relative").symlink_to("ckpt-5")
        (outputs / "absolute").symlink_to(outputs / "ckpt-5")
        (outputs / "chain").symlink_to("relative")
        Path(folder.work, "data.csv").write_bytes(b"1,2")
        (outputs / "data").symlink_to("../data.csv")
        found = contents(collect(host, folder, store), store)
        assert {found[f"outputs/{name}"] for name in ("relative", "absolute", "chain")} == {b"weights"}
        assert found["outputs/data"] == b"1,2"

    def test_an_absolute_link_is_read_where_the_run_saw_it(self, host, folder, store, outputs):
        Path(folder.work, "best.pt").write_bytes(b"weights")
        (outputs / "best.pt").symlink_to("/azureml-run/work/best.pt")
        (outputs / "chain").symlink_to("../chained")
        Path(folder.work, "chained").symlink_to("/azureml-run/work/outputs/best.pt")
        (outputs / "back").symlink_to("/azureml-run/work/../../../victim")
        (outputs / "shared").symlink_to("/azureml-share/data.csv")
        (outputs / "near").symlink_to("/azureml-run-not/work/best.pt")
        (outputs / "gone").symlink_to("/azureml-run/work/nothing")
        seen = Seen(PurePosixPath("/azureml-run"), PurePosixPath("/azureml-share"))
        found = collect(host, folder, store, in_run=seen)
        kept = contents(found, store)
        assert (kept["outputs/best.pt"], kept["outputs/chain"]) == (b"weights", b"weights")
        assert reasons(found) == {
            "outputs/back": "it is a link out of the run folder",
            "outputs/gone": "it is a link to nothing",
            "outputs/near": "it is a link out of the run folder",
            "outputs/shared": "it is a link into the shared folder, where the file stays",
        }

    def test_a_link_out_of_the_run_folder_is_named_and_not_followed(self, host, folder, store, outputs, tmp_path):
        (tmp_path / "shadow").write_bytes(SECRET)
        (outputs / "absolute").symlink_to(tmp_path / "shadow")
        (outputs / "relative").symlink_to(os.path.relpath(tmp_path / "shadow", outputs))
        (tmp_path / "folder").symlink_to(outputs)
        found = collect(host, folder, store)
        assert set(reasons(found)) == {"outputs/absolute", "outputs/relative"}
        assert set(reasons(found).values()) == {"it is a link out of the run folder"}
        assert SECRET not in store.contents.values()

    def test_another_runs_folder_whose_name_begins_alike_is_outside(self, host, folder, store, outputs):
        other = Path(f"{folder.path}-other")
        other.mkdir()
        (other / "x").write_bytes(SECRET)
        (outputs / "x").symlink_to(other / "x")
        assert reasons(collect(host, folder, store)) == {"outputs/x": "it is a link out of the run folder"}

    def test_links_to_folders_nothing_and_themselves_are_named(self, host, folder, store, outputs):
        (outputs / "folder").symlink_to("../logs")
        (outputs / "broken").symlink_to("nowhere")
        (outputs / "loop").symlink_to("loop")
        os.mkfifo(Path(folder.work) / "pipe")
        (outputs / "pipe").symlink_to("../pipe")
        assert reasons(collect(host, folder, store)) == {
            "outputs/broken": "it is a link to nothing",
            "outputs/folder": "it is a link to a folder",
            "outputs/loop": "it is a link to nothing",
            "outputs/pipe": "it is a link to something that is no file",
        }

    def test_an_outputs_folder_that_became_a_link_is_named_and_not_followed(
        self, host, folder, store, outputs, tmp_path
    ):
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc" / "shadow").write_bytes(SECRET)
        outputs.rmdir()
        outputs.symlink_to(tmp_path / "etc")
        found = collect(host, folder, store)
        assert set(reasons(found)) == {"outputs"}
        assert SECRET not in store.contents.values()

    def test_a_file_in_the_place_of_the_outputs_folder_is_named(self, host, folder, store, outputs):
        outputs.rmdir()
        outputs.write_text("no folder")
        assert set(reasons(collect(host, folder, store))) == {"outputs"}

    def test_a_console_that_became_a_link_is_named_and_not_followed(self, host, folder, store, tmp_path):
        (tmp_path / "shadow").write_bytes(SECRET)
        Path(folder.console).unlink()
        Path(folder.console).symlink_to(tmp_path / "shadow")
        assert set(reasons(collect(host, folder, store))) == {"console.log"}
        assert SECRET not in store.contents.values()

    def test_a_file_swapped_for_a_link_before_it_is_opened_is_not_followed(
        self, host, folder, store, outputs, tmp_path
    ):
        (tmp_path / "shadow").write_bytes(SECRET)
        (outputs / "x").write_bytes(b"harmless")
        opened = host.open

        def swap(base, path):
            if path.endswith("/x") and not (outputs / "x").is_symlink():
                (outputs / "x").unlink()
                (outputs / "x").symlink_to(tmp_path / "shadow")
            return opened(base, path)

        host.open = swap
        assert "outputs/x" in reasons(collect(host, folder, store))
        assert SECRET not in store.contents.values()

    def test_many_links_with_odd_names_are_each_told_apart(self, host, folder, store, outputs):
        (outputs / "file").write_bytes(b"content")
        names = [f"link {number}\n'\"$(x)\\" for number in range(450)]
        for number, name in enumerate(names):
            (outputs / name).symlink_to("file" if number % 2 else "nowhere")
        found = collect(host, folder, store)
        assert set(reasons(found)) == {f"outputs/{name}" for name in names[::2]}
        assert {f"outputs/{name}" for name in names[1::2]} <= set(contents(found, store))


class TestOddFiles:
    def test_fifos_and_sockets_are_named_and_do_not_hang(self, host, folder, store, outputs, monkeypatch):
        os.mkfifo(outputs / "pipe")
        monkeypatch.chdir(outputs)
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("socket")
            found = collect(host, folder, store)
        assert reasons(found) == {"outputs/pipe": "it is a FIFO", "outputs/socket": "it is a socket"}

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
    def test_a_device_is_named(self, host, folder, store, outputs):
        try:
            os.mknod(outputs / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("this machine does not allow devices")
        assert reasons(collect(host, folder, store)) == {"outputs/zero": "it is a device"}

    def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_kept(self, host, folder, store, outputs):
        (outputs / "closed").write_bytes(b"x")
        (outputs / "open").write_bytes(b"y")
        opened = host.open

        def refuse(base, path):
            if path.endswith("closed"):
                raise PermissionError(errno.EACCES, "Permission denied")
            return opened(base, path)

        host.open = refuse
        found = collect(host, folder, store)
        assert reasons(found) == {"outputs/closed": "it cannot be read: Permission denied"}
        assert "outputs/open" in contents(found, store)

    def test_a_host_that_stops_answering_ends_the_collection(self, host, folder, store, outputs):
        (outputs / "x").write_bytes(b"x")

        def unreachable(base, path):
            raise TargetError("The host does not answer.")

        host.open = unreachable
        with pytest.raises(TargetError):
            collect(host, folder, store)

    def test_names_that_are_not_utf8_stay_readable_and_apart(self, host, folder, store, outputs):
        for name, content in ((b"a\xff", b"1"), (b"a\\xff", b"2"), (b"a\\xff~2", b"3"), (b"\xc3\xa4", b"4")):
            Path(os.fsdecode(bytes(outputs) + b"/" + name)).write_bytes(content)
        found = contents(collect(host, folder, store), store)
        del found["console.log"]
        assert found == {"outputs/a\\xff": b"2", "outputs/a\\xff~2": b"3", "outputs/a\\xff~3": b"1", "outputs/ä": b"4"}

    @pytest.mark.parametrize(
        "name", ["x" * 255, "new\nline", " blank ", "tab\t", "-rf", "*", "ü" * 100, ".hidden", "~"]
    )
    def test_any_name_is_collected(self, host, folder, store, outputs, name):
        (outputs / name).write_bytes(b"x")
        assert f"outputs/{name}" in contents(collect(host, folder, store), store)


@given(st.lists(st.binary(min_size=1, max_size=4), unique=True, max_size=12))
@settings(max_examples=100, deadline=None)
def test_every_path_has_a_name_of_its_own_that_json_can_hold(raw):
    paths = [os.fsdecode(name) for name in raw]
    names = readable_names(paths)
    assert len(set(names.values())) == len(paths)
    assert all(names[path] == path for path in paths if safe_text(path) == path)
    for name in names.values():
        assert msgspec.json.decode(msgspec.json.encode(name)) == name


class TestFilesThatChange:
    def writer(self, host, path: Path, times: int):
        """Change a file right after it was read, so many times."""
        opened = host.open
        left = [times]

        @contextlib.contextmanager
        def changing(base, place):
            with opened(base, place) as stream:
                yield stream
            if place.endswith(path.name) and left[0] > 0:
                left[0] -= 1
                path.write_bytes(path.read_bytes() + b"+")

        host.open = changing

    def test_a_file_that_changed_once_is_read_again(self, host, folder, store, outputs):
        (outputs / "x").write_bytes(b"x")
        self.writer(host, outputs / "x", times=1)
        found = collect(host, folder, store)
        assert contents(found, store)["outputs/x"] == b"x+"
        assert found.omitted == []

    def test_a_file_that_never_rests_is_kept_as_last_read_and_named(self, host, folder, store, outputs):
        (outputs / "x").write_bytes(b"x")
        self.writer(host, outputs / "x", times=1000)
        found = collect(host, folder, store)
        assert contents(found, store)["outputs/x"] == b"x++"
        assert reasons(found) == {"outputs/x": "it changed while it was read, and what was read last is kept"}

    def test_a_file_that_vanishes_is_named(self, host, folder, store, outputs):
        (outputs / "x").write_bytes(b"x")
        opened = host.open

        def vanish(base, path):
            if path.endswith("/x"):
                (outputs / "x").unlink(missing_ok=True)
            return opened(base, path)

        host.open = vanish
        assert reasons(collect(host, folder, store)) == {"outputs/x": "it vanished while the run was collected"}

    def test_a_file_written_while_the_run_is_collected_is_found(self, host, folder, store, outputs):
        (outputs / "x").write_bytes(b"x")
        opened = host.open

        def write(base, path):
            if not (outputs / "late").exists():  # files are opened by two threads: it is written once, by one
                (outputs / "late").write_bytes(b"late")
            return opened(base, path)

        host.open = write
        assert contents(collect(host, folder, store), store)["outputs/late"] == b"late"

    def test_a_file_that_grows_without_end_is_given_up_at_the_limit(self, host, folder, store, outputs):
        (outputs / "x").write_bytes(b"x")
        opened = host.open

        def endless(base, path):
            return Path("/dev/zero").open("rb") if path.endswith("/x") else opened(base, path)

        host.open = endless
        found = collect(host, folder, store, max_artifact_size=5 << 20)
        assert reasons(found) == {"outputs/x": "over 5 MB"}


class TestLogsOfTheSnapshot:
    def test_an_unchanged_log_of_the_snapshot_is_no_artifact(self, host, folder, store, logs):
        (logs / "old.log").write_bytes(b"old")
        (logs / "new.log").write_bytes(b"new")
        found = collect(host, folder, store, unchanged={"logs/old.log": blob_id(b"old")})
        assert list(contents(found, store)) == ["console.log", "logs/new.log"]
        assert found.omitted == []

    @pytest.mark.parametrize("content", [b"old and more", b"OLD", b""])
    def test_a_log_of_the_snapshot_that_the_run_changed_is_an_artifact(self, host, folder, store, logs, content):
        (logs / "old.log").write_bytes(content)
        found = collect(host, folder, store, unchanged={"logs/old.log": blob_id(b"old")})
        assert contents(found, store)["logs/old.log"] == content

    def test_a_link_of_the_snapshot_is_no_artifact_while_it_points_where_it_did(self, host, folder, store, logs):
        (logs / "link").symlink_to("target")
        (logs / "target").write_bytes(b"x")
        found = collect(host, folder, store, unchanged={"logs/link": blob_id(b"target")})
        assert list(contents(found, store)) == ["console.log", "logs/target"]

    def test_ids_of_a_sha256_repository_are_understood(self, host, folder, store, logs):
        (logs / "old.log").write_bytes(b"old")
        object_id = hashlib.sha256(b"blob 3\0old").hexdigest()
        found = collect(host, folder, store, unchanged={"logs/old.log": object_id})
        assert list(contents(found, store)) == ["console.log"]


class TestLongLists:
    def entries(self, count):
        return [Artifact(f"outputs/{number}", number, "0" * 64) for number in range(count)]

    def test_a_list_of_200_stays_in_the_record(self, store):
        entries = self.entries(LONG_LIST)
        assert as_record_list(entries, store, "artifacts.json") == entries
        assert store.contents == {}

    def test_a_longer_list_becomes_an_artifact_that_is_durable(self, store):
        entries = self.entries(LONG_LIST + 1)
        kept = as_record_list(entries, store, "artifacts.json")
        assert isinstance(kept, LongList)
        assert (kept.count, kept.path, kept.bytes) == (201, "artifacts.json", len(store.contents[kept.sha256]))
        assert msgspec.json.decode(store.contents[kept.sha256], type=list[Artifact]) == entries
        assert kept.sha256 in store.flushed

    def test_a_list_that_is_an_artifact_already_stays_one(self, store):
        kept = LongList(count=300, bytes=1, sha256="0" * 64, path="x.json")
        assert as_record_list(kept, store, "x.json") is kept


def test_progress_adds_up_to_what_was_read(host, folder, store, outputs):
    (outputs / "x").write_bytes(bytes(3 << 20))
    told: list[int] = []
    found = collect(host, folder, store, progress=told.append)
    assert sum(told) == found.size
    assert max(told) <= 1 << 20


@pytest.mark.parametrize("count", [60, pytest.param(200, marks=pytest.mark.torture)])
def test_odd_outputs_are_each_collected_or_named_and_no_foreign_byte_is_taken(
    host, folder, store, outputs, tmp_path, count
):
    chance = random.Random(count)
    secret = tmp_path / "shadow"
    secret.write_bytes(SECRET)
    makers = (
        lambda place: place.write_bytes(b"content"),
        lambda place: place.write_bytes(b"content"),
        lambda place: place.symlink_to(secret),
        lambda place: place.symlink_to("/"),
        lambda place: place.symlink_to("nowhere"),
        os.mkfifo,
    )
    names = set()
    while len(names) < count:
        name = bytes(chance.choices(range(1, 256), k=chance.choice((1, 3, 20, 255)))).replace(b"/", b"\n")
        if name not in (b".", b"..", b"") and name not in names:
            chance.choice(makers)(outputs / os.fsdecode(name))
            names.add(name)
    found = collect(host, folder, store)
    told = [artifact.path for artifact in found.artifacts] + [omission.path for omission in found.omitted]
    assert len(told) == len(set(told)) == count + 1
    assert set(store.contents.values()) == {b"content", b"hello\n"}
    assert all(omission.reason and omission.place for omission in found.omitted)
