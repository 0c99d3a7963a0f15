"""Invoke imported without what it does not use, and everything working afterwards all the same."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

AVOIDED = ("importlib.metadata", "unittest.mock", "asyncio")

START = """
import importlib.util, json, sys
place = importlib.util.find_spec("amltool").submodule_search_locations[0]
spec = importlib.util.spec_from_file_location("startup", place + "/tasks/startup.py")
startup = importlib.util.module_from_spec(spec)
spec.loader.exec_module(startup)
"""


def python(script: str) -> Any:
    """What a fresh interpreter that knows only ``startup`` prints as JSON."""
    done = subprocess.run([sys.executable, "-c", START + script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_invoke_does_not_use_is_not_loaded() -> None:
    loaded = python("startup.import_invoke(); import invoke.program; print(json.dumps(sorted(sys.modules)))")

    assert not set(AVOIDED) & set(loaded)
    assert "yaml" not in loaded
    assert "invoke.program" in loaded


def test_without_it_they_are_loaded() -> None:
    """If this fails, Invoke has mended itself and ``startup`` can go."""
    loaded = python("import invoke; print(json.dumps(sorted(sys.modules)))")

    assert set(AVOIDED) <= set(loaded)


def test_no_trace_of_the_stand_ins_is_left() -> None:
    script = """
startup.import_invoke()
import importlib
print(json.dumps([
    [n for n in ("importlib.metadata", "unittest.mock") if n in sys.modules],
    hasattr(importlib, "metadata"),
    [type(f).__name__ for f in sys.meta_path if type(f).__name__ == "LazyFinder"],
]))"""

    assert python(script) == [[], False, []]


def test_invokes_version_is_the_installed_one() -> None:
    script = """
startup.import_invoke()
import invoke, importlib.metadata
print(json.dumps([invoke.__version__, importlib.metadata.version("invoke"), invoke.metadata.version("msgspec"),
                  importlib.metadata.version("msgspec")]))"""

    ours, real, through_invoke, msgspec = python(script)

    assert (ours, through_invoke) == (real, msgspec)


def test_the_real_modules_are_there_for_who_imports_them() -> None:
    script = """
startup.import_invoke()
import unittest.mock, importlib.metadata
from importlib import metadata
print(json.dumps([isinstance(unittest.mock.Mock().x, unittest.mock.Mock), metadata is importlib.metadata,
                  metadata.__file__.endswith("__init__.py"), "Distribution" in dir(metadata)]))"""

    assert python(script) == [True, True, True, True]


def test_a_mock_context_makes_real_mocks() -> None:
    script = """
startup.import_invoke()
from invoke import MockContext, Result
context = MockContext(run=Result("out"))
said = context.run("ls").stdout
context.run.assert_called_once_with("ls")
from unittest.mock import Mock
print(json.dumps([said, isinstance(context.run, Mock)]))"""

    assert python(script) == ["out", True]


def test_a_yaml_configuration_is_read(tmp_path: Any) -> None:
    (tmp_path / "settings.yaml").write_text("run:\n  echo: true\n")
    script = f"""
startup.import_invoke()
from invoke import Config
config = Config(runtime_path={str(tmp_path / "settings.yaml")!r})
config.load_runtime()
print(json.dumps(config.run.echo))"""

    assert python(script) is True


@pytest.mark.parametrize("first", ["unittest.mock", "importlib.metadata", "invoke.vendor.yaml", "invoke"])
def test_a_module_that_is_loaded_already_is_left_alone(first: str) -> None:
    script = f"""
import {first}
before = sys.modules[{first!r}]
startup.import_invoke()
print(json.dumps(sys.modules[{first!r}] is before))"""

    assert python(script) is True


def test_an_invoke_that_cannot_bear_it_is_imported_the_ordinary_way() -> None:
    script = """
class Broken(startup.MetadataStandIn):
    def version(self, name):
        raise AttributeError(name)
startup.MetadataStandIn = Broken
startup.import_invoke()
import invoke
print(json.dumps([invoke.__version__, type(invoke.metadata).__name__]))"""

    version, kind = python(script)

    assert (version[:2], kind) == ("3.", "module")


def test_two_installed_versions_are_left_to_the_real_metadata(tmp_path: Any) -> None:
    for name in ("thing", "thing-1.0.dist-info", "thing-2.0.dist-info"):
        (tmp_path / name).mkdir()
    (tmp_path / "thing" / "__init__.py").write_text("")
    script = f"""
sys.path.insert(0, {str(tmp_path)!r})
import thing
print(json.dumps(startup.version_by_folder("thing")))"""

    assert python(script) is None


def test_bytecode_is_kept_within_and_as_before_without(monkeypatch: pytest.MonkeyPatch) -> None:
    script = """
sys.dont_write_bytecode = True
with startup.bytecode_kept():
    within = sys.dont_write_bytecode
print(json.dumps([within, sys.dont_write_bytecode]))"""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE")

    assert python(script) == [False, True]


def test_who_wants_no_bytecode_gets_none() -> None:
    script = "with startup.bytecode_kept():\n    print(json.dumps(sys.dont_write_bytecode))"

    assert python(script) is True
