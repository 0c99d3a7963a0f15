"""AMLTOOL_REQUIRE names the components that may not be skipped: a word for each, with commas or blanks between."""

from __future__ import annotations

import os
import re
from typing import NoReturn

import pytest


def is_required(word: str) -> bool:
    """Whether AMLTOOL_REQUIRE has this word (``docker``, ``package-index`` …)."""
    return word in re.split(r"[,\s]+", os.environ.get("AMLTOOL_REQUIRE", ""))


def missing(word: str, reason: str) -> NoReturn:
    """Skip a test whose component cannot be had and say why; where the component is required, fail it."""
    if is_required(word):
        pytest.fail(f"AMLTOOL_REQUIRE has {word}: {reason}", pytrace=False)
    pytest.skip(f"{reason} (AMLTOOL_REQUIRE={word} makes it, or fails)")
