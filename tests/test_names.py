"""What messages and pages name is there: tasks, options, extras, pages, keys; what pages show is executed."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from amltool.configuration import compute, dependencies, runconfig, settings
from amltool.configuration.fields import Table
from tests.repositories import make_repository
from tests.test_documentation import FENCE, PAGES, TOP, every_page, options, said

PROSE = frozenset(["came", "cannot", "does", "has", "is", "mounts", "needs", "on", "prepares", "puts", "refuses"])
"""Words that follow the name of the program in a sentence about it."""
FOREIGN = re.compile(
    r"\b(?:git|pip|docker|az|keyring|ssh|ssh-[a-z]+|uv|conda|apt-get|rpm|sshd|spark-submit|pre-commit)\b"
    r"|-file --batch|--stdin"
)
"""Programs whose options stand in our sentences, too."""
NAMED_TASK = re.compile(r"(?:^|[`:(\n'] ?)(?:amltool|invoke) ([a-z][a-z.-]*)([^`)\n]*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
NOT_YET = {
    "yarnDeployMode": "the type cluster is not built yet",
    "UseSampling": "amltool always takes the whole data",
    "DataSourceSettings": "warned of when read",
    "DataSourceSubstitutions": "warned of when read",
}
"""Documented keys that nothing needs, and why."""


def sentences() -> list[str]:
    """Texts of the package that people read: those with a blank."""
    return [text for text in said() if " " in text]


def pages_and_templates() -> list[Path]:
    return [*PAGES, *(path for path in (TOP / "amltool/templates").rglob("*") if path.is_file())]


def test_tasks_that_messages_name_are_there_with_their_options() -> None:
    wrong = []
    for text in sentences():
        for name, rest in NAMED_TASK.findall(text):
            task = name.rstrip(".-")
            if task in PROSE:
                continue
            flags = set(OPTION.findall(rest.split(" -- ")[0].split(", ")[0]))
            if task not in options() or (not FOREIGN.search(rest) and not flags <= options()[task]):
                wrong.append((task, text))
    assert wrong == []


def test_options_that_messages_name_are_those_of_a_task() -> None:
    known = set().union(*options().values()) | {"--help", "--options"}
    hooks = {"--max-size", "--warn-size", "--max-files", "--profile", "--from-ref", "--to-ref", "--max-file-size"}
    wrong = [
        (option, text)
        for text in _messages()
        for option in OPTION.findall(text)
        if option not in known | hooks and not FOREIGN.search(text)
    ]
    assert wrong == []


def _messages() -> Iterator[str]:
    """What errors and warnings say, docstrings left out: arguments of what is raised or told."""
    import ast

    told = {
        "UserError",
        "TargetError",
        "ParseError",
        "say",
        "warning",
        "mistake",
        "refuse",
        "_refuse",
        "Finding",
    }
    for module in sorted((TOP / "amltool").rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in told or name.endswith("Error"):
                    yield " ".join(
                        each.value
                        for each in ast.walk(node)
                        if isinstance(each, ast.Constant) and isinstance(each.value, str)
                    )


def test_extras_that_are_named_are_there() -> None:
    known = set(importlib.metadata.metadata("amltool").get_all("Provides-Extra") or ())
    texts = [*said(), *(page.read_text() for page in pages_and_templates() if page.suffix != ".pyc")]
    named = {
        extra
        for text in texts
        for found in re.findall(r"(?:amltool|clone)\[([\w,]+)\]", text)
        for extra in found.split(",")
    }
    assert {"docker", "ssh"} <= named
    assert named <= known


def test_pages_that_messages_name_are_there() -> None:
    named = {page for text in said() for page in re.findall(r"docs/[\w/.-]+\.md", text)}
    assert named
    assert [page for page in named if not (TOP / page).exists()] == []


def test_a_store_that_is_named_can_be_opened_or_is_said_to_be_missing() -> None:
    from amltool.stores import STORES

    for page in PAGES:
        for line in page.read_text().splitlines():
            for scheme in re.findall(r"`(\w+)://", line):
                known = scheme in STORES or "store" not in line.lower()
                assert known or "not built yet" in line, (page.name, line)


@pytest.mark.parametrize(
    "table",
    [
        compute._TABLE,
        compute._PIP,
        runconfig._TABLE,
        settings._TABLE,
        settings._LIMITS,
        dependencies._CONDA,
        dependencies._SPARK,
    ],
)
def test_every_documented_key_has_a_reader(table: Table) -> None:
    modules = [path for path in (TOP / "amltool").rglob("*.py") if path.parent.name != "configuration"]
    modules.append(TOP / "amltool/configuration/choosing.py")
    code = "\n".join(path.read_text() for path in modules)
    unread = {each.key for each in table.fields if not re.search(rf"\.{each.name}\b", code)}
    assert unread <= set(NOT_YET)


SHOWN = re.compile(r"^\$ (.*)$", re.MULTILINE)
SERVICES = re.compile(r"--target (?!local)|docker-spark|attach |logs @ -f|wait @")
"""Need Docker, another machine, or a run there; `tests/test_documentation.py` looks that they can be read."""
TRAIN = """import sys
from amltool import tracking
tracking.log_metric("accuracy", 0.96)
open("outputs/model", "w").write(sys.argv[2])
"""


def shown(page: Path) -> list[str]:
    """The commands for the console that need no service, in order, as they stand there."""
    lines = [line for block in FENCE.findall(page.read_text()) for line in SHOWN.findall(block)]
    lines = list(dict.fromkeys(re.sub(r"\s+#.*", "", line) for line in lines))
    ours = [line for line in lines if line.split()[0] in ("amltool", "invoke", "git", "cd")]
    return [line for line in ours if not SERVICES.search(line)]


@every_page
def test_commands_that_are_shown_work_as_they_stand_there(page: Path, tmp_path: Path) -> None:
    lines = shown(page)
    if not lines:
        return
    make_repository(tmp_path / "my-project", {"train.py": TRAIN})
    folder = tmp_path if any(line.startswith("cd my-project") for line in lines) else tmp_path / "my-project"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(TOP), "GIT_PAGER": "cat", "COLUMNS": "200"}
    for line in lines:
        script = f"set -e\n{line}\npwd > {tmp_path}/where"
        done = subprocess.run(
            ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        folder = Path((tmp_path / "where").read_text().strip())


def test_commands_are_found_to_be_executed() -> None:
    assert "invoke submit --target local train.py -- --lr 0.1" in shown(TOP / "README.md")
    assert len(shown(TOP / "README.md")) > 8
