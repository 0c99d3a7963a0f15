"""Run a failed test of a real service a second time: a shared machine can fail it where the code does not.

Only tests with the mark ``component`` have a second try, and only one. Each is told in the summary with its first
failure, and a whole run has few of them (``--max-suite-reruns`` in pyproject.toml), so that a broken change is seen.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.components import tiers

_LIMITS = pytest.StashKey[Any]()


def mark(items: list[pytest.Item]) -> None:
    """Give each test of a service a second try; the full figures of ``torture`` have none."""
    for item in items:
        if item.get_closest_marker(tiers.MARK) is not None and item.get_closest_marker("torture") is None:
            item.add_marker(pytest.mark.flaky(reruns=1))


def remember_limit(item: pytest.Item, settings: object) -> None:
    """Keep the time limit that pytest-timeout sets for a test."""
    item.stash[_LIMITS] = settings


def limit_again(item: pytest.Item) -> None:
    """Set the time limit for a second try: pytest-timeout takes it away at the first failure."""
    if getattr(item, "execution_count", 1) > 1 and _LIMITS in item.stash:
        item.config.hook.pytest_timeout_cancel_timer(item=item)
        item.config.hook.pytest_timeout_set_timer(item=item, settings=item.stash[_LIMITS])
