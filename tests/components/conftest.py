from __future__ import annotations

import pytest

from tests.components.docker_projects import docker_projects_fixture  # noqa: F401 (pytest finds fixtures by name)
from tests.components.remote_projects import KINDS


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Of a target on a machine over SSH, each of both."""
    return str(request.param)
