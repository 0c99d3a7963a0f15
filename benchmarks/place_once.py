"""One placing on a machine over SSH, as a whole process: what `transfers.py` times; not called by hand.

Leaves in the file ``report`` how many bytes of the snapshot's went over the connection.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(arguments: str) -> None:
    """Take the snapshot of a repository's HEAD and place it, taking over what a released run of it left."""
    from amltool.git.command import Git
    from amltool.git.snapshots import survey, take
    from amltool.hosts.ssh import SshHost
    from amltool.hosts.ssh_settings import SshSettings
    from amltool.layout import HostLayout
    from amltool.limits import Profile
    from amltool.targets.placing_there import make_place
    from amltool.tracking import travel

    asked = json.loads(arguments)
    known_hosts = (Path(asked["known_hosts"]),)
    key_file = Path(asked["key_file"])
    host = SshHost(SshSettings(asked["address"], asked["port"], asked["user"], key_file, known_hosts=known_hosts))
    git = Git.at(Path(asked["repository"]))
    snapshot = take(git, survey(git, "", ".", Profile.SDK))
    folder = HostLayout(host.root).run(asked["run"])
    sent = 0

    def count(size: int, _files: int) -> None:
        nonlocal sent
        sent += size

    make_place(host, travel.install(host), key=asked["key"])(git, folder, snapshot, count)
    host.close()
    Path(asked["report"]).write_text(str(sent))


if __name__ == "__main__":
    main(sys.argv[1])
