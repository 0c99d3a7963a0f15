"""All that is changed in Invoke, in one place.

A user's ``tasks.py`` is loaded by the ``invoke`` command, whose ``Program`` is not ours to subclass. It looks its
methods up as it goes, and parses the tasks after it has loaded ``tasks.py``; so what is put in their place as our first
task is declared still takes effect. Each of the five does what it did before wherever no task of ours is concerned.
Built on Invoke 3.0; ``tests/tasks/test_patches.py`` fails when a version changes what is relied on here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import invoke.program
from invoke.exceptions import Exit, ParseError
from invoke.parser import Parser
from invoke.program import Program

from amltool.tasks.arguments import AmltoolTask, ScriptArguments
from amltool.tasks.completion import candidates
from amltool.tasks.parsing import END_OF_OPTIONS, TaskContext, TaskParser, metavariable

Pairs = Sequence[tuple[str, str | None]]
RELIED_ON = ("_make_parser", "parse_tasks", "print_task_help", "print_columns")


def install() -> None:
    """Teach Invoke to read our tasks; once is enough, and more does nothing.

    Raises:
        ImportError: this version of Invoke lacks what is relied on.
    """
    if getattr(Program.parse_tasks, "teaches_amltool", False):
        return
    lacking = [name for name in RELIED_ON if not hasattr(Program, name)]
    if lacking or not hasattr(invoke.program, "complete"):
        raise ImportError("amltool cannot work with this version of Invoke: pip install 'invoke>=3.0,<3.1'")
    for patch in (_make_parser, parse_tasks, print_task_help, print_columns):
        _put(Program, patch)
    _put(invoke.program, complete)


def _put(place: Any, patch: Callable[..., Any]) -> None:
    original = getattr(place, patch.__name__)

    def patched(*args: Any, **kwargs: Any) -> Any:
        return patch(original, *args, **kwargs)

    patched.__doc__ = patch.__doc__
    patched.teaches_amltool = True  # type: ignore[attr-defined]
    setattr(place, patch.__name__, patched)


def _make_parser(original: Callable[[Program], Parser], program: Program) -> Parser:
    """Our parser, where the collection holds tasks of ours."""
    parser = original(program)
    contexts = []
    for context in parser.contexts.values():
        task = program.collection[context.name]
        contexts.append(TaskContext(context.name, context.aliases, task) if isinstance(task, AmltoolTask) else context)
    if not any(isinstance(context, TaskContext) for context in contexts):
        return parser
    return TaskParser(contexts, parser.initial, _called(program))


def parse_tasks(original: Callable[[Program], None], program: Program) -> None:
    """Keep the words after ``--`` as they are, and refuse them where nobody takes them."""
    words = program.argv[1:]
    if END_OF_OPTIONS in words:
        program.core.remainder = ScriptArguments(words[words.index(END_OF_OPTIONS) + 1 :])
    original(program)
    last = program.tasks[-1] if program.tasks else None
    if isinstance(last, TaskContext) and program.core.remainder and not last.task.script_arguments:
        what = f"{last.name} takes nothing after --, and was given: {program.core.remainder}"
        raise ParseError(f"{what}\nSee {_called(program)} {last.name} --help", last)


def print_task_help(original: Callable[[Program, str], None], program: Program, name: str) -> None:
    """Help that shows a task's words as words, each with what it means."""
    context = program.parser.contexts[name]
    if not isinstance(context, TaskContext):
        return original(program, name)
    print(f"Usage: {_called(program)} {usage(context)}\n")
    print((inspect.getdoc(context.task) or "").rstrip() + "\n")
    words = [(metavariable(a.name or ""), a.help or "") for a in context.positional_args]
    options = [_option_help(context, flag) for flag, a in context.flags.items() if not a.positional]
    for title, pairs in (("Arguments", words), ("Options", options)):
        if pairs:
            print(f"{title}:\n")
            program.print_columns(pairs)
    return None


def print_columns(original: Callable[[Program, Pairs], None], program: Program, pairs: Pairs) -> None:
    """Columns where the terminal is wide enough for them; Invoke crashes where it is not."""
    try:
        original(program, pairs)
    except ValueError:
        for name, text in pairs:
            print(f"  {name}\n    {text or ''}".rstrip())
        print()


def complete(original: Callable[..., Exit], **given: Any) -> Exit:
    """Offer what can follow one of our tasks, and no second task."""
    offered = candidates(given["core"].remainder, given["names"], given["parser"])
    if offered is None:
        # Invoke cannot split a line with an open quotation; there is then nothing to offer
        with suppress(ValueError):
            return original(**given)
    for word in offered or ():
        print(word)
    raise Exit


def usage(context: TaskContext) -> str:
    """One line that shows a task's name, words, and whether it takes options and a script's arguments."""
    parts = [context.name or ""]
    for argument in context.positional_args:
        word = metavariable(argument.name or "") + ("..." if argument.kind is list else "")
        parts.append(word if argument.name in context.task.required else f"[{word}]")
    parts += [f"--{name}={metavariable(name)}" for name in context.task.readings if _must_be_option(context, name)]
    if len(context.args) > len(context.positional_args):
        parts.append("[--options]")
    return " ".join(parts + (["[-- ARGUMENTS]"] if context.task.script_arguments else []))


def _must_be_option(context: TaskContext, name: str) -> bool:
    return name in context.task.required and name not in context.task.positional


def _option_help(context: TaskContext, flag: str) -> tuple[str, str]:
    argument = context.flags[flag]
    names = [name for name in context.names_for(flag) if name != flag]
    names.append(f"--[no-]{flag[2:]}" if flag in context.inverse_flags.values() else flag)
    value = f"={metavariable(argument.name)}" if argument.takes_value else ""
    choices = [str(member.value) for member in argument.kind] if _has_choices(argument.kind) else []
    text = " ".join(filter(None, [argument.help, f"({', '.join(choices)})" if choices else ""]))
    shown = ", ".join(sorted(names, key=len)) + (f"[{value}]" if argument.optional else value)
    return shown, text


def _has_choices(kind: Any) -> bool:
    return isinstance(kind, type) and hasattr(kind, "__members__")


def _called(program: Program) -> str:
    # Invoke's own is "inv[oke]", which nobody can type
    return program.called_as if "[" in program.binary else program.binary
