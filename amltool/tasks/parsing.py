"""How a command line that holds one of our tasks is read.

Invoke's own parser reads the core options and a user's own tasks, and stops at the first of ours; from there on the
words are read here, untouched until then. So our tasks may have words that can be left out and a list of words at the
end, an option's value is never taken for an option, and a stray word is an error and never a second task.
"""

from __future__ import annotations

import re
import shlex
from collections import deque
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import NoReturn

from invoke.exceptions import ParseError
from invoke.parser import Parser, ParseResult
from invoke.parser.argument import Argument
from invoke.parser.context import ParserContext, to_flag

from amltool.tasks.arguments import AmltoolTask

NEGATIVE_NUMBER = re.compile(r"-\.?\d")
END_OF_OPTIONS = "--"
SECRET_OPTION = re.compile(r"--?(?:[a-z0-9]+[-_])*(?:pass(?:word|wd|phrase)?|pwd|secret|token)", re.IGNORECASE)
"""An option whose value is never repeated, ours or not."""
ON_A_COMMAND_LINE = (
    "A secret on a command line can be read by others: change it, and give it in an environment variable."
)
ANCESTORS = {"--runconfig": "--run-configuration"}
"""Names by which the ancestor had an option of ours."""


class TaskContext(ParserContext):
    """One of our tasks, with its arguments, as Invoke's parser knows tasks."""

    def __init__(self, name: str, aliases: Iterable[str], task: AmltoolTask) -> None:
        super().__init__(name, aliases, task.get_arguments())
        self.task = task

    def unread(self) -> TaskContext:
        """The same task with no argument given yet."""
        return TaskContext(self.name or "", self.aliases, self.task)


class TaskParser(Parser):
    """Reads a command line whose last task may be one of ours.

    Args:
        contexts: all tasks; ours are each a ``TaskContext``.
        initial: the core options.
        program: the name by which the program is called, for messages.
    """

    def __init__(self, contexts: Iterable[ParserContext], initial: ParserContext | None, program: str) -> None:
        super().__init__(contexts=contexts, initial=initial)
        self.program = program

    def parse_argv(self, argv: list[str]) -> ParseResult:
        """Read words (without the program's name) into contexts, as Invoke's parser does.

        Raises:
            invoke.ParseError: the words cannot be read; says what to do, and holds the context for completion.
        """
        end = argv.index(END_OF_OPTIONS) if END_OF_OPTIONS in argv else len(argv)
        others = [context for context in self.contexts.values() if not isinstance(context, TaskContext)]
        result = Parser(others, self.initial, ignore_unknown=True).parse_argv(argv[:end])
        result.remainder = " ".join(argv[end + 1 :])
        self._refuse_ambiguity(result)
        if result.unparsed:
            name, *words = result.unparsed
            known = self.contexts[name] if name in self.contexts else None  # noqa: SIM401 - get() knows no aliases
            if not isinstance(known, TaskContext):
                raise ParseError(self._unknown(name), result[-1])
            context = known.unread()
            TaskReader(context, result[0], self).read(words)
            result.append(context)
            result.unparsed = []
        return result

    def _refuse_ambiguity(self, result: ParseResult) -> None:
        # Invoke refuses the name of a task after an option whose value may be left out; it cannot see ours
        for argument in (argument for context in result for argument in context.args.values()):
            if argument.optional and argument.raw_value in self.contexts:
                raise ParseError(
                    f"{argument.raw_value!r} is ambiguous when given after an optional-value flag", result[-1]
                )

    def _unknown(self, word: str) -> str:
        if word.startswith("-"):
            option = word.partition("=")[0]  # what follows may be a secret
            return f"No idea what {option!r} is!\nOptions of a task come after its name: see {self.program} --list"
        near = did_you_mean(word, list(self.contexts))
        return f"No idea what {word!r} is!\n{near}{self.program} --list names the tasks there are."


class TaskReader:
    """Reads the words that follow the name of one of our tasks into its arguments."""

    def __init__(self, context: TaskContext, core: ParserContext, parser: TaskParser) -> None:
        self.context = context
        self.core = core
        self.parser = parser
        self.given: set[str | None] = set()
        self.read_words: list[str] = []
        self.pending: deque[str] = deque()
        self.helping = False

    def read(self, words: list[str]) -> None:
        self.pending = deque(words)
        while self.pending:
            word = self.pending.popleft()
            if word.startswith("--"):
                self._long_option(word)
            elif word.startswith("-") and len(word) > 1:
                self._short_options(word)
            else:
                self._word(word)
            self.read_words = words[: len(words) - len(self.pending)]
        if not self.helping:
            self._refuse_missing()

    def _long_option(self, word: str) -> None:
        flag, equals, value = word.partition("=")
        if flag not in self.context.flags and ANCESTORS.get(flag) in self.context.flags:
            flag = ANCESTORS[flag]
        if flag in self.context.inverse_flags and not equals:
            self._set(flag, self.context.flags[self.context.inverse_flags[flag]], False)
        else:
            self._option(flag, value if equals else None)

    def _short_options(self, word: str) -> None:
        flag, rest = word[:2], word[2:]
        argument = self._find(flag, word)
        if rest and argument.takes_value:
            self._option(flag, rest.removeprefix("="))
        elif rest.startswith("="):
            self._refuse(f"{flag} takes no value.", self._see_help())
        else:
            self._option(flag, None)
            if rest:
                self.pending.appendleft("-" + rest)

    def _find(self, flag: str, word: str) -> Argument:
        if flag not in self.context.flags and flag not in self.core.flags:
            self._refuse_unknown(flag, word)
        found: Argument = (self.context if flag in self.context.flags else self.core).flags[flag]
        return found

    def _refuse_unknown(self, flag: str, word: str) -> NoReturn:
        near = did_you_mean(flag, [name for name in self.context.flag_names() if name.startswith("--")])
        remedy = near + self._see_help()
        if self.context.task.script_arguments:
            remedy = near + self._behind_dashes(word)
            if Path(word).is_file():
                remedy = f"The file of that name is given as {shlex.quote(f'./{word}')}"
        self._refuse(f"{self.context.name} has no option {flag}.", remedy)

    def _behind_dashes(self, word: str) -> str:
        """Say how a word for the script is given, with the rest of the command line; no secret is repeated."""
        rest = [word, *self.pending]
        shown = without_secrets(rest)
        example = [self.parser.program, self.context.name or "", *self.read_words, END_OF_OPTIONS, *shown]
        warning = "" if shown == rest else f"\n{ON_A_COMMAND_LINE}"
        return f"Arguments of the script go after --: {shlex.join(example)}{warning}"

    def _option(self, flag: str, value: str | None) -> None:
        argument = self._find(flag, flag if value is None else f"{flag}={value}")
        if flag not in self.context.flags and argument.name == "help":
            self.helping = True
            argument.set_value(self.context.name)
        elif not argument.takes_value:
            self._refuse_secret(argument, flag, value)
            if value is not None:
                self._refuse(f"{flag} takes no value.", self._see_help())
            self._set(flag, argument, True)
        elif value is not None:
            self._set(flag, argument, value)
        elif argument.optional:
            argument.set_value(True, cast=False)
        elif self.pending and (self._may_be_value(self.pending[0]) or self._is_dashed(argument, self.pending[0])):
            self._set(flag, argument, self.pending.popleft())
        else:
            self._refuse(f"{flag} needs a value.", f"One that begins with - is given as {flag}=VALUE.")

    def _refuse_secret(self, argument: Argument, flag: str, value: str | None) -> None:
        """Refuse a secret behind a flag, as the ancestor's command line took it; no message repeats it."""
        if (argument.attr_name or argument.name) not in self.context.task.secret:
            return
        following = self.pending[0] if self.pending else ""
        is_option = following.partition("=")[0] in self.context.flags or following in self.core.flags
        words = {each.name for each in self.context.positional_args}
        rest = {word.partition("=")[0] for word in self.pending}
        settled = words <= self.given or any(to_flag(name) in rest for name in words if name)
        if value is not None or (following and not is_option and settled):
            self._refuse_secret_word(flag)

    def _refuse_secret_word(self, flag: str) -> NoReturn:
        self._refuse(
            f"{flag} is followed by a word, and a secret on a command line can be read by others.",
            f"Give {flag} alone: it is asked for, without echo. A script gives {flag}-reference '${{env:NAME}}', "
            "with the secret in that environment variable. Change a secret that stood on a command line.",
        )

    @staticmethod
    def _may_be_value(word: str) -> bool:
        return not word.startswith("-") or word == "-" or NEGATIVE_NUMBER.match(word) is not None

    def _is_dashed(self, argument: Argument, word: str) -> bool:
        """Return True for a value with a dash before it, where the option takes such and no option is called that."""
        takes_dash = (argument.attr_name or argument.name) in self.context.task.dashed
        return takes_dash and not word.startswith("--") and not (word in self.context.flags or word in self.core.flags)

    def _word(self, word: str) -> None:
        for argument in self.context.positional_args:
            if argument.kind is list or argument.raw_value is None:
                self._set(metavariable(argument.name or ""), argument, word)
                return
        self._refuse_stray(word)

    def _set(self, place: str, argument: Argument, value: str | bool) -> None:
        try:
            argument.set_value(value)
        except (ValueError, TypeError):
            self._refuse(f"{place} takes {expected(argument.kind)}, not {value!r}.", self._see_help())
        self.given.add(argument.name)

    def _refuse_stray(self, word: str) -> NoReturn:
        task = self.context.name
        secret = self.context.task.secret
        for argument in self.context.args.values():
            if (argument.attr_name or argument.name) in secret & self.given:
                self._refuse_secret_word(to_flag(argument.name or ""))
        limit = len(self.context.positional_args)
        takes = f"takes {limit} word{'s' if limit > 1 else ''}" if limit else "takes no words"
        remedy = self._see_help()
        if self.context.task.script_arguments:
            remedy = self._behind_dashes(word)
        elif word in self.parser.contexts:
            remedy = f"To run the task of that name, give it a command of its own: {self.parser.program} {word}"
        # A word may be a secret behind an option that Invoke has by that letter (-p, -w)
        named = "A word of the command line" if secret else repr(word)
        self._refuse(f"{named} is one word too many: {task} {takes}, and options.", remedy)

    def _refuse_missing(self) -> None:
        words = {argument.name for argument in self.context.positional_args}
        missing = [name for name in self.context.task.readings if name in self.context.task.required - self.given]
        if missing:
            named = [metavariable(name) if name in words else to_flag(name) for name in missing]
            self._refuse(f"{self.context.name} needs {' and '.join(named)}.", self._see_help())

    def _see_help(self) -> str:
        return f"See {self.parser.program} {self.context.name} --help"

    def _refuse(self, what: str, remedy: str) -> NoReturn:
        raise ParseError(f"{what}\n{remedy}", self.context)


def without_secrets(words: Sequence[str]) -> list[str]:
    """The words of a command line with ``...`` for the values of options that take secrets."""
    found: list[str] = []
    hides = False
    for word in words:
        name, equals, _ = word.partition("=")
        if SECRET_OPTION.fullmatch(name):
            found.append(f"{name}=..." if equals else name)
        else:
            found.append("..." if hides else word)
        hides = not equals and SECRET_OPTION.fullmatch(name) is not None
    return found


def metavariable(name: str) -> str:
    """How the value of a parameter is called in help: ``RUN_CONFIGURATION``."""
    return name.strip("_").upper()


def expected(kind: object) -> str:
    """What text a kind of value is read from, in words."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(str(member.value) for member in kind)
    return {int: "a whole number", float: "a number"}.get(kind, "a value")  # type: ignore[call-overload, no-any-return]


def did_you_mean(word: str, known: list[str]) -> str:
    """A question that ends in a blank, or nothing where no known word is near."""
    from difflib import get_close_matches

    near = get_close_matches(word, known, n=1)
    return f"Did you mean {near[0]}? " if near else ""
