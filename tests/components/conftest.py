from tests.components.docker_projects import docker_projects_fixture  # noqa: F401 (pytest finds fixtures by name)
