"""What is changed in Invoke, and that all else in it is as it was."""

from __future__ import annotations

import inspect
import json

import invoke
import invoke.program
import pytest
from invoke.collection import Collection
from invoke.parser import Parser
from invoke.parser.context import ParserContext
from invoke.program import Program
from invoke.tasks import task

from amltool.tasks import patches
from amltool.tasks.patches import install
from tests.tasks.sample_project import Project


def test_invoke_is_of_the_version_that_the_patches_were_made_for() -> None:
    assert invoke.__version__.startswith("3.0."), "read parser/, program.py and completion/ anew, then this list"


def test_invoke_calls_what_is_patched_in_the_order_that_is_relied_on() -> None:
    """``tasks.py`` is loaded, and only then are tasks parsed, by methods that are looked up on the class."""
    run = inspect.getsource(Program.run)
    original = inspect.getclosurevars(Program.parse_tasks).nonlocals["original"]

    assert run.index("self.parse_core(") < run.index("self.parse_collection(") < run.index("self.parse_tasks(")
    assert "self._make_parser()" in inspect.getsource(original)
    assert "parse_argv(self.core.unparsed)" in inspect.getsource(original)
    assert "complete(\n" in inspect.getsource(Program.parse_cleanup)
    assert "self.print_task_help(" in inspect.getsource(Program.parse_cleanup)


def test_invoke_still_gives_the_context_the_remainder_object_itself() -> None:
    source = inspect.getsource(invoke.tasks.Call.make_context)

    assert "remainder=core_parse_result.remainder" in source


def test_a_parser_that_ignores_the_unknown_leaves_the_rest_untouched() -> None:
    parser = Parser([ParserContext("build")], ParserContext(), ignore_unknown=True)

    result = parser.parse_argv(["build", "ours", "-abc", "--x=y"])

    assert result.unparsed == ["ours", "-abc", "--x=y"]


def patched() -> list[object]:
    methods = [getattr(Program, name) for name in patches.RELIED_ON]
    return [*methods, vars(invoke.program)["complete"]]


def test_the_patches_are_applied_once() -> None:
    install()
    before = patched()

    install()

    assert patched() == before


def test_a_version_of_invoke_that_lacks_something_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Program, "parse_tasks", lambda self: None)
    monkeypatch.setattr(patches, "RELIED_ON", ("parse_tasks", "no_such_method"))

    with pytest.raises(ImportError, match="pip install 'invoke"):
        install()


def test_a_collection_without_our_tasks_has_invokes_own_parser() -> None:
    install()
    program = Program(namespace=Collection("x"))
    program.create_config()
    program.collection = Collection("x", task(lambda c: None, name="one"))

    assert type(program._make_parser()) is Parser


@pytest.mark.parametrize(
    ("line", "out"),
    [
        (["build", "here"], "build here False 1\n"),
        (["build", "here", "--fast", "lint", "--log"], "build here True 1\nlint True\n"),
        (["lint", "build", "-l", "5", "-w", "there"], "lint None\nbuild there False 5\n"),
    ],
)
def test_a_users_own_tasks_are_read_as_ever(project: Project, line: list[str], out: str) -> None:
    ended = project.run("invoke", *line)

    assert (ended.code, ended.out) == (0, out)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["build"], "'build' did not receive required positional arguments: 'where'"),
        (["build", "x", "--nope"], "No idea what '--nope' is!"),
        (["lint", "--log", "submit"], "'submit' is ambiguous when given after an optional-value flag"),
    ],
)
def test_a_users_own_tasks_are_refused_as_ever(project: Project, line: list[str], said: str) -> None:
    ended = project.run("invoke", *line)

    assert ended.code == 1
    assert said in ended.err


def test_one_of_ours_may_follow_a_users_task(project: Project) -> None:
    first, second = project.run("invoke", "build", "here", "submit", "train.py").out.splitlines()

    assert (first, json.loads(second)["script"]) == ("build here False 1", "train.py")


@pytest.mark.parametrize("line", [["submit", "--help"], ["--help", "submit"], ["submit", "-h", "x.py"]])
def test_help_shows_words_as_words(project: Project, program: str, line: list[str]) -> None:
    ended = project.run(program, *line)

    assert ended.code == 0
    assert f"Usage: {program} submit [SCRIPT] [--options] [-- ARGUMENTS]\n" in ended.out
    assert "Run a script of this project." in ended.out
    assert "--[no-]clean" in ended.out
    assert "-c, --run-configuration=RUN_CONFIGURATION" in ended.out


def test_help_names_options_that_must_be_given_and_choices(project: Project, program: str) -> None:
    assert "attach NAME --type=TYPE [--options]" in project.run(program, "attach", "--help").out
    assert "(Completed, Failed)" in project.run(program, "runs", "--help").out


def test_help_of_a_users_task_is_invokes(project: Project) -> None:
    assert "Docstring:" in project.run("invoke", "--help", "build").out


def test_tasks_are_listed_with_their_first_sentence(project: Project, program: str) -> None:
    out = project.run(program, "--list").out

    assert "compare (diff)" in out
    assert "List the newest runs." in out
    assert "history.push" in out


def test_a_task_of_a_sub_collection_is_found(project: Project, program: str) -> None:
    assert project.run(program, "history.push").given["pushed"] is True
