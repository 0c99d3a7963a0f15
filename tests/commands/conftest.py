from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Path]:
    """While it is there, runs go on."""
    made = tmp_path / "hold"
    made.touch()
    yield made
    made.unlink(missing_ok=True)
