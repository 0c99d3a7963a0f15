"""What the shell offers after one of our tasks: its options, the values of one that has a choice, else files."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from enum import Enum

from invoke.exceptions import ParseError
from invoke.parser.argument import Argument

from amltool.tasks.arguments import ScriptArguments
from amltool.tasks.parsing import END_OF_OPTIONS, TaskContext, TaskParser


def candidates(remainder: str, names: Sequence[str], parser: object) -> list[str] | None:
    """The words that can come next; none where the shell should offer files.

    Args:
        remainder: what Invoke's completion scripts give after ``--``: the command line so far.
        names: what the program is called by; the first word of the line may be one.
        parser: the program's.

    Returns:
        None where the line holds no task of ours, so that Invoke's own completion knows better.
    """
    if not isinstance(parser, TaskParser):
        return None
    # bash takes an option apart at the equals sign
    words = [word for word in _words(remainder) if word != "="]
    if words and words[0].rpartition("/")[2] in names:
        words = words[1:]
    context = _context(parser, words)
    if context is None:
        return None
    if END_OF_OPTIONS in words[:-1]:
        return []
    for word in reversed(words[-2:]):
        if word in context.flags and context.flags[word].takes_value:
            return list(_choices(context.flags[word]))
    last = words[-1]
    if last.startswith("-") and last not in context.flags:
        return sorted(flag for flag in context.flag_names() if flag.startswith(last))
    return []


def _words(remainder: str) -> list[str]:
    """The words of the line: bash hands them over split, other shells as one text, and one may be unfinished."""
    given = remainder.words if isinstance(remainder, ScriptArguments) else (remainder,)
    if len(given) > 1:
        return list(given)
    try:
        return shlex.split(remainder)
    except ValueError:
        return remainder.split()


def _context(parser: TaskParser, words: list[str]) -> TaskContext | None:
    """The task of ours that the line is in, however unfinished it is.

    A line that ends with the very name of a task is in it: whether a blank follows is lost on the way here.
    """
    found: object = None
    try:
        found = parser.parse_argv(words)[-1]
    except ParseError as error:
        found = error.context
    return found if isinstance(found, TaskContext) else None


def _choices(argument: Argument) -> Iterable[str]:
    if isinstance(argument.kind, type) and issubclass(argument.kind, Enum):
        return [str(member.value) for member in argument.kind]
    return []
