"""Notebooks as text, and an environment that runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from amltool.files import locked

NEEDED = ["nbclient", "ipykernel"]


def notebook(*cells: str, parameters: str | None = None, **metadata: Any) -> str:
    """A notebook of code cells; ``parameters`` is the source of the cell with that tag, which is the first."""
    sources = [(parameters, ["parameters"])] if parameters is not None else []
    sources += [(cell, []) for cell in cells]
    written = [
        {"cell_type": "code", "id": f"c{at}", "execution_count": None, "metadata": {"tags": tags} if tags else {},
         "outputs": [], "source": source}
        for at, (source, tags) in enumerate(sources)
    ]  # fmt: skip
    return json.dumps({"cells": written, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def printed(content: str | bytes) -> str:
    """All that the cells of an executed notebook printed."""
    outputs = [output for cell in json.loads(content)["cells"] for output in cell["outputs"]]
    return "".join("".join(output["text"]) for output in outputs if output["output_type"] == "stream")


def environment_with_notebooks(factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with nbclient and ipykernel, from the package index; one for all workers."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = shared / "notebook-environment", shared / "notebook-environment.done"
    with locked(shared / "notebook-environment.lock", within_s=300):
        if not done.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, capture_output=True)
            subprocess.run([folder / "bin" / "pip", "install", "-q", *NEEDED], check=True, capture_output=True)
            done.touch()
    return folder / "bin" / "python"
