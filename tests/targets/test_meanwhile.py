"""What goes on beside the steps of a run."""

from __future__ import annotations

import threading
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any, cast

import pytest

from amltool.errors import UserError
from amltool.hosts.local import LocalHost
from amltool.targets import meanwhile
from amltool.targets.drive import Drive
from amltool.targets.meanwhile import BegunShare, Meanwhile, placing_begun, share_at_start


def a_drive(host: LocalHost, share: Path, *, share_hash: bool = False, begin_place: Any = None) -> Drive:
    snapshot = SimpleNamespace(tree="t")
    return cast(
        Drive,
        SimpleNamespace(
            target=SimpleNamespace(host=host, share=PurePosixPath(share), begin_place=begin_place),
            request=SimpleNamespace(share_hash=share_hash, tree="t"),
            git=None,
            folder=None,
            snapshot=lambda: snapshot,
            begun_share=None,
        ),
    )


def test_what_was_done_meanwhile_is_given() -> None:
    go_on = threading.Event()
    doing = Meanwhile(lambda: go_on.wait(10))
    go_on.set()
    assert doing.result()


def test_what_went_wrong_meanwhile_is_raised_where_it_is_needed() -> None:
    def fail() -> None:
        raise UserError("It is gone.", "Look.")

    with pytest.raises(UserError, match="It is gone"):
        Meanwhile(fail).result()


def test_what_was_listed_a_moment_ago_is_what_the_run_starts_with(tmp_path: Path) -> None:
    run = a_drive(LocalHost(), tmp_path)
    (tmp_path / "old").touch()
    run.begun_share = BegunShare(run, PurePosixPath(tmp_path))
    run.begun_share.listed.result()
    (tmp_path / "new").touch()
    assert [file.path for file in share_at_start(run)] == ["old"]


def test_what_was_listed_long_ago_is_listed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meanwhile, "FRESH_S", 0.0)
    run = a_drive(LocalHost(), tmp_path)
    run.begun_share = BegunShare(run, PurePosixPath(tmp_path))
    run.begun_share.listed.result()
    (tmp_path / "new").touch()
    assert [file.path for file in share_at_start(run)] == ["new"]


def test_a_shared_folder_that_nobody_began_with_is_made_and_listed(tmp_path: Path) -> None:
    run = a_drive(LocalHost(), tmp_path / "share")
    assert share_at_start(run) == []
    assert (tmp_path / "share").is_dir()


def test_a_listing_that_failed_is_not_met_twice(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = a_drive(LocalHost(), tmp_path / "file" / "share")
    run.begun_share = BegunShare(run, PurePosixPath(tmp_path / "file" / "share"))
    with pytest.raises(UserError, match="Not a directory"):
        share_at_start(run)
    assert run.begun_share is None


def test_a_placing_that_was_begun_is_withdrawn_when_there_is_no_environment(tmp_path: Path) -> None:
    withdrawn: list[bool] = []
    run = a_drive(LocalHost(), tmp_path, begin_place=lambda *_: lambda: withdrawn.append(True))
    with pytest.raises(UserError), placing_begun(run):
        raise UserError("There is no such interpreter.", "Install it.")
    assert withdrawn == [True]


def test_a_placing_that_was_begun_goes_on_when_there_is_one(tmp_path: Path) -> None:
    withdrawn: list[bool] = []
    run = a_drive(LocalHost(), tmp_path, begin_place=lambda *_: lambda: withdrawn.append(True))
    with placing_begun(run):
        pass
    assert not withdrawn


def test_where_a_hash_is_wanted_nothing_is_listed_beforehand(tmp_path: Path) -> None:
    run = a_drive(LocalHost(), tmp_path, share_hash=True, begin_place=lambda *_: lambda: None)
    with placing_begun(run):
        assert run.begun_share is None
