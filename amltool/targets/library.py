"""What travels with runs is put on the host they run on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from amltool.files import no_space
from amltool.hosts.local import LocalHost, seen_from_here
from amltool.layout import HostLayout
from amltool.tracking import travel
from amltool.tracking.run_folders import Root

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
        if isinstance(host, LocalHost):
            mend_root(host)
        return travel.install(host)
    except OSError as error:
        raise no_space(error, seen_from_here(host, host.root)) from error


def mend_root(host: LocalHost) -> None:
    """See that the folders in the root are ours: a script has its user's rights, and may have put links in their place.

    Raises:
        OSError: what took their place cannot be set aside.
    """
    layout = HostLayout(host.root)
    with Root(os.fspath(host.root)) as root:
        root.mend(
            [place.name for place in (layout.libraries, layout.environments, layout.cache, layout.turns("x").parent)]
        )
