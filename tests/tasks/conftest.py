"""Fixtures of the tests of the tasks: a sample project, and the two commands that run it."""

from __future__ import annotations

import pytest

from tests.tasks.sample_project import Project, make_project


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(params=["invoke", "amltool"])
def program(request: pytest.FixtureRequest) -> str:
    """Each test that takes it runs by both commands."""
    name: str = request.param
    return name
