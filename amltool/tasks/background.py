"""The process that drives a detached run to its end; started by amltool, not by people."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Drive the run ``argv[2]`` of the project at ``argv[1]``; the input holds passphrases that were typed for it."""
    from amltool.commands.driving import drive_to_end

    given = sys.stdin.buffer.read()
    if given:
        import msgspec

        from amltool.hosts.ssh_passphrases import remember

        remember(msgspec.json.decode(given, type=dict[str, str]))
    drive_to_end(Path(sys.argv[1]), sys.argv[2])


if __name__ == "__main__":
    main()
