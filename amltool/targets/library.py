"""What travels with runs is put on the host they run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amltool.files import no_space
from amltool.hosts.local import seen_from_here
from amltool.tracking import travel

if TYPE_CHECKING:
    from amltool.hosts.base import Host
    from amltool.tracking.travel import Installed


def install_library(host: Host) -> Installed:
    """Put it there where it is not yet.

    Raises:
        UserError: nothing can be written there.
        TargetError: the host does not answer.
    """
    try:
        return travel.install(host)
    except OSError as error:
        raise no_space(error, seen_from_here(host, host.root)) from error
