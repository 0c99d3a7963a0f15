"""What a run says, on its host, of what it needs there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, cast

import pytest

from amltool.errors import UserError
from amltool.hosts.base import Host
from amltool.layout import HostLayout
from amltool.targets.what_lies import say_what_it_uses


class FullHost:
    """Another machine, without any room."""

    name, root = "vm.example.org", PurePosixPath("/home/ada/.amltool")

    def evaluate(self, program: str, arguments: Sequence[Any]) -> Any:
        raise OSError(28, "No space left on device", "uses.json")


def test_where_there_is_no_room_to_say_it_the_machine_is_named() -> None:
    host = FullHost()
    folder = HostLayout(host.root).run("run-001")

    with pytest.raises(UserError, match=r"run-001 on vm\.example\.org: No space left on device"):
        say_what_it_uses(cast(Host, host), folder, "key", HostLayout(host.root).tracking("0123"))
