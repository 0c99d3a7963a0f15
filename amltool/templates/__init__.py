"""What ``init`` writes into a user's project; the files beside this one, under the names of ``TEMPLATES``."""

from __future__ import annotations

from importlib.resources import files

TEMPLATES = {
    "aml_config/docker.compute": "docker.compute",
    "aml_config/docker.runconfig": "docker.runconfig",
    "aml_config/docker-spark.runconfig": "docker-spark.runconfig",
    "aml_config/local.compute": "local.compute",
    "aml_config/local.runconfig": "local.runconfig",
    "aml_config/conda_dependencies.yml": "conda_dependencies.yml",
    "aml_config/conda_dependencies_spark.yml": "conda_dependencies_spark.yml",
    "aml_config/spark_dependencies.yml": "spark_dependencies.yml",
    "aml_config/project.yml": "project.yml",
    ".amlignore": "amlignore.txt",
    "tasks.py": "tasks.txt",
    "amltool.mk": "amltool.mk",
}
"""Path in the project -> template, in order of writing. Two have other names, lest a tool take them as its own."""


def read_template(name: str, **values: str) -> str:
    """The text of a template, with ``@NAME@`` replaced by each value."""
    text = files(__name__).joinpath(name).read_text(encoding="utf-8")
    for placeholder, value in values.items():
        text = text.replace(f"@{placeholder.upper()}@", value)
    return text
