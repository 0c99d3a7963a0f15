"""Tasks of this project: `invoke --list` shows them."""

from amltool.tasks import ns

__all__ = ["ns"]
