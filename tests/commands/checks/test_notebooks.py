from __future__ import annotations

import json

from amltool.commands.checks.notebooks import notebook_problems, output_size
from amltool.limits import MB, Level, Limits


def notebook(output: str) -> bytes:
    cell = {
        "cell_type": "code",
        "source": "x",
        "outputs": [{"output_type": "stream", "text": output}] if output else [],
    }
    return json.dumps({"nbformat": 4, "cells": [cell, {"cell_type": "markdown", "source": "y" * 5000}]}).encode()


def messages(files: dict[str, bytes], limits: Limits = Limits(), largest: int = 1000) -> list[str]:  # noqa: B008
    found = notebook_problems({path: len(content) for path, content in files.items()}, limits, largest, files.get)
    assert all(problem.id == "notebook" for problem in found)
    return [problem.message for problem in found]


def test_outputs_over_the_setting_are_refused_with_how_much_is_too_much() -> None:
    (found,) = notebook_problems({"a.ipynb": 9000}, Limits(), 1000, lambda path: notebook("z" * 2000))
    assert found.level is Level.ERROR
    assert "a.ipynb: its outputs have 1.99 KB, 1.01 KB more than 1000 bytes" in found.message
    assert "notebook_output_size" in found.remedy


def test_a_large_notebook_without_outputs_passes() -> None:
    assert messages({"a.ipynb": notebook("")}) == []


def test_outputs_of_exactly_the_setting_pass() -> None:
    content = notebook("z" * 2000)
    exact = output_size(content)
    assert exact is not None
    assert messages({"a.ipynb": content}, largest=exact) == []
    assert messages({"a.ipynb": content}, largest=exact - 1)


def test_a_notebook_in_a_folder_over_the_limits_is_to_move_to_its_own() -> None:
    sizes = {"work/a.ipynb": 10, "work/data.bin": 301 * MB, "other/b.ipynb": 10}
    (found,) = notebook_problems(sizes, Limits(), MB, lambda path: None)
    assert found.message.startswith("work/a.ipynb: in a folder over the limits (work/ has 301.00 MB in 2 files)")
    assert "a folder of its own" in found.remedy


def test_what_is_no_notebook_is_a_warning_and_never_a_traceback() -> None:
    for content in (
        b"",
        b"[" * 100_000,
        b"[1]",
        b'{"cells": 3}',
        b'{"cells": [1]}',
        b"\xff\xfe",
        b'{"worksheets": {}}',
    ):
        found = notebook_problems({"a.ipynb": 9000}, Limits(), 1000, lambda path, content=content: content)  # type: ignore[misc]
        assert [problem.level for problem in found] in ([Level.WARNING], [])
    assert messages({"a.ipynb": b"x" * 2000}) == ["a.ipynb has 1.95 KB and is no notebook that can be read."]


def test_an_older_notebook_with_worksheets_is_read() -> None:
    document = {"nbformat": 3, "worksheets": [{"cells": [{"outputs": ["é" * 100]}]}]}
    assert output_size(json.dumps(document).encode()) == 204
