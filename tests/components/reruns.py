"""Run a failed test of a real service a second time: a shared machine can fail it where the code does not.

Only tests with the mark ``component`` have a second try, and only one. Each is told in the summary with its first
failure, and a whole run has few of them, so that a broken change is seen. Without pytest-rerunfailures there are none.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.components import tiers

PLUGIN = "rerunfailures"
MOST = 5
"""How many second tries a whole run has."""
_LIMITS = pytest.StashKey[Any]()


def configure(config: pytest.Config) -> None:
    """Bound the second tries and have their first failures printed, unless the command line says else."""
    if config.pluginmanager.hasplugin(PLUGIN):
        config.option.rerun_show_tracebacks = True
        if config.option.max_suite_reruns is None:
            config.option.max_suite_reruns = MOST


def mark(items: list[pytest.Item]) -> None:
    """Give each test of a service a second try; the full figures of ``torture`` have none."""
    for item in items:
        if not item.config.pluginmanager.hasplugin(PLUGIN):
            return
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
