"""``python -m amltool.hooks CHECK``: a check without its own program."""

from __future__ import annotations

import sys

from amltool.hooks.checks import CHECKS, leave


def main() -> None:
    """Run the check that the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in CHECKS:
        sys.exit(f"Name a check: {', '.join(CHECKS)}.")
    leave(sys.argv.pop(1))


if __name__ == "__main__":
    main()
