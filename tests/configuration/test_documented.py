"""docs/configuration.md names every key there is, with its default where it has one."""

from __future__ import annotations

from pathlib import Path

import pytest

from amltool.configuration import compute, dependencies, runconfig, settings
from amltool.configuration.fields import Table

TEXT = (Path(__file__).parents[2] / "docs/configuration.md").read_text()


@pytest.mark.parametrize(
    ("table", "heading"),
    [
        (compute._TABLE, "## `.compute`"),
        (compute._PIP, "## `.compute`"),
        (runconfig._TABLE, "## `.runconfig`"),
        (dependencies._CONDA, "## `conda_dependencies.yml`"),
        (dependencies._SPARK, "## `spark_dependencies.yml`"),
        (settings._TABLE, "## Settings"),
        (settings._LIMITS, "## Settings"),
    ],
)
def test_every_key_stands_in_its_section(table: Table, heading: str) -> None:
    section = TEXT.split(f"\n{heading}\n")[1].split("\n## ")[0]

    assert [key for key in table.known() if f"`{key}`" not in section and f".{key}`" not in section] == []


def test_the_example_of_an_error_is_what_is_said() -> None:
    from amltool.errors import ConfigurationError

    content = b"type: remotedocker\npassword: hunter2\nusername: ada\nadress: vm\nsharedVolumes: true.\n"
    with pytest.raises(ConfigurationError) as caught:
        compute.read_compute("gpu", content, "aml_config/gpu.compute")

    shown = TEXT.split("amltool submit --target gpu train.py\n")[1].split("```")[0].splitlines()
    assert shown == str(caught.value).splitlines()
