"""How a task is declared: its Python signature says which words and which options it takes.

    @task(short={"run_configuration": "c"}, script_arguments=True, help={"script": "what to run"})
    def submit(context: Context, script: str | None = None, *, run_configuration: str | None = None) -> Outcome: ...

* a parameter before the ``*`` is a *word* of the command line, in order; one with a default may be left out;
* ``*runs: str`` takes all the words that are left;
* a parameter after the ``*`` is an option only; one without a default has to be given;
* the annotation says how text becomes a value: ``str``, ``int``, ``float``, ``bool`` (a flag), an ``Enum`` that the
  module has imported (its values), ``tuple[str, ...]`` (may be given several times), ``str | bool`` (``--download``
  or ``--download=FOLDER``), each also with ``| None``;
* every word can be given as an option as well (``--script=train.py``), as everywhere in Invoke.

Invoke has no optional and no variadic words: see ``parsing`` for how ours are read, and ``patches`` for how that
reaches the ``invoke`` command.
"""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from inspect import Parameter
from typing import Any

from invoke.context import Context
from invoke.parser.argument import Argument
from invoke.parser.context import translate_underscores
from invoke.tasks import Task

from amltool.tasks.failures import Outcome, door, leave
from amltool.tasks.interrupts import interrupts_after_imports
from amltool.tasks.startup import bytecode_kept

Body = Callable[..., Any]
SIMPLE_KINDS: Mapping[str, type] = {"str": str, "int": int, "float": float, "bool": bool}
REPEATABLE = re.compile(r"tuple\[str, ?\.\.\.\]")


@dataclass(frozen=True, slots=True)
class Reading:
    """How one parameter is read: what makes a value of text, whether it repeats, whether its value may be left out."""

    kind: Any
    repeatable: bool = False
    bare: bool = False


class AmltoolTask(Task):  # type: ignore[type-arg] # Task is generic in name only
    """A task of ours: read by our parser, and left only by the three ways of ``failures``."""

    def __init__(
        self,
        body: Body,
        *,
        short: Mapping[str, str],
        script_arguments: bool,
        dashed: Iterable[str] = (),
        secret: Iterable[str] = (),
        **options: Any,
    ) -> None:
        self.parameters = tuple(inspect.signature(body).parameters.values())[1:]
        self.short = dict(short)
        self.script_arguments = script_arguments
        self.dashed = frozenset(dashed)
        self.secret = frozenset(secret)
        self.readings = {p.name: _reading(p, getattr(body, "__globals__", {})) for p in self.parameters}
        words = [p.name for p in self.parameters if p.kind is not Parameter.KEYWORD_ONLY]
        super().__init__(body, positional=words, auto_shortflags=False, **options)
        unknown = sorted((set(self.short) | set(self.help) | self.dashed | self.secret) - set(self.readings))
        if unknown:
            raise TypeError(f"{self.name} has no parameter {', '.join(unknown)}")

    def __deepcopy__(self, memo: dict[int, Any]) -> AmltoolTask:
        """Itself: nothing in it changes, and Invoke copies every task of a collection it loads."""
        return self

    @property
    def variadic(self) -> str | None:
        return next((p.name for p in self.parameters if p.kind is Parameter.VAR_POSITIONAL), None)

    @property
    def required(self) -> frozenset[str]:
        """The parameters that have to be given; a variadic one never has to."""
        kinds = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.POSITIONAL_ONLY, Parameter.KEYWORD_ONLY)
        return frozenset(p.name for p in self.parameters if p.default is Parameter.empty and p.kind in kinds)

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:  # noqa: ARG002
        """New arguments for one reading of a command line, words first and in order."""
        return [self._argument(parameter) for parameter in self.parameters]

    def _argument(self, parameter: Parameter) -> Argument:
        flag = translate_underscores(parameter.name)
        reading = self.readings[parameter.name]
        default = None if parameter.default is Parameter.empty else parameter.default
        return Argument(
            names=(flag, self.short[parameter.name]) if parameter.name in self.short else (flag,),
            attr_name=parameter.name if parameter.name != flag else None,
            kind=list if reading.repeatable else reading.kind,
            default=False if reading.kind is bool and default is None else default,
            help=self.help.get(parameter.name),
            positional=parameter.name in self.positional,
            optional=reading.bare,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body; what it raises or returns becomes the exit code that DESIGN 7 promises.

        Raises:
            TypeError: it was called wrongly, from Python; a command line cannot do that.
            invoke.Exit: whatever it was that ended the task.
        """
        if not args or not isinstance(args[0], Context):
            raise TypeError(f"{self.name} takes a Context first")
        call = self._call(args, kwargs)
        with bytecode_kept(), interrupts_after_imports(), door():
            result = self.body(*call.args, **call.kwargs)
        self.times_called += 1
        if isinstance(result, Outcome) and result.exit_code:
            leave(result.exit_code)
        return result

    def _call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        keywords = {
            name: tuple(value) if name in self.readings and self.readings[name].repeatable else value
            for name, value in kwargs.items()
        }
        positionals = list(args)
        if self.variadic in keywords:
            # Python fills *runs by place only, so the words before it have to go by place too
            positionals += [keywords.pop(name) for name in self.positional if name != self.variadic]
            positionals += keywords.pop(self.variadic)
        return inspect.signature(self.body).bind(*positionals, **keywords)


def task(
    *,
    name: str | None = None,
    aliases: Iterable[str] = (),
    short: Mapping[str, str] | None = None,
    script_arguments: bool = False,
    help: Mapping[str, str] | None = None,
    dashed: Iterable[str] = (),
    secret: Iterable[str] = (),
) -> Callable[[Body], AmltoolTask]:
    """Make a function a task of ours.

    Args:
        name: where the function's own name will not do; ``under_scores`` become ``dash-es``.
        aliases: further names.
        short: parameter to the one letter of its short option; there are no others.
        script_arguments: whether it takes what follows ``--`` (see ``remainder_arguments``).
        help: parameter to one line that says what it is.
        dashed: parameters whose value may begin with one dash (``--best -loss``).
        secret: flags after which scripts of the ancestor give a secret: that is refused and never repeated.

    Raises:
        TypeError: the declaration cannot be read; it says why.
    """
    from amltool.tasks.patches import install

    install()

    def declare(body: Body) -> AmltoolTask:
        return AmltoolTask(
            body,
            name=name,
            aliases=tuple(aliases),
            short=short or {},
            script_arguments=script_arguments,
            help=dict(help or {}),
            dashed=dashed,
            secret=secret,
        )

    return declare


def _reading(parameter: Parameter, names: Mapping[str, Any]) -> Reading:
    """How the text of a parameter is read; ``names`` are those its module knows."""
    annotation = parameter.annotation
    if parameter.kind is Parameter.VAR_KEYWORD or annotation is Parameter.empty:
        raise TypeError(f"the parameter {parameter.name} needs an annotation that says how it is read")
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    kinds = [part.strip() for part in text.split("|") if part.strip() != "None"]
    if parameter.kind is Parameter.VAR_POSITIONAL and kinds == ["str"]:
        return Reading(str, repeatable=True)
    if len(kinds) == 1 and REPEATABLE.fullmatch(kinds[0]):
        return Reading(str, repeatable=True)
    if sorted(kinds) == ["bool", "str"]:
        return Reading(str, bare=True)
    kind = SIMPLE_KINDS.get(kinds[0]) or names.get(kinds[0]) if len(kinds) == 1 else None
    if kind is bool and parameter.kind is not Parameter.KEYWORD_ONLY:
        raise TypeError(f"the parameter {parameter.name} is a flag, which cannot be a word: it belongs after the *")
    if isinstance(kind, type) and (kind in SIMPLE_KINDS.values() or issubclass(kind, Enum)):
        return Reading(kind)
    raise TypeError(f"the parameter {parameter.name} is annotated {text!r}, and nothing says how to read that")


class ScriptArguments(str):
    """What Invoke calls the remainder, that still knows which words it was made of.

    Invoke joins the words after ``--`` with blanks and so loses where each began.
    """

    __slots__ = ("words",)
    words: tuple[str, ...]

    def __new__(cls, words: Sequence[str]) -> ScriptArguments:
        made = super().__new__(cls, " ".join(words))
        made.words = tuple(words)
        return made

    def __getnewargs__(self) -> tuple[tuple[str, ...]]:  # type: ignore[override] # as __new__ takes it, for copies
        return (self.words,)


def remainder_arguments(context: Context) -> list[str]:
    """The words after the first ``--``, exactly as given: blanks, quotes, newlines, empty ones, further ``--``.

    Bytes that are not UTF-8 are kept as ``os.fsdecode`` does. For a context made by hand the text is split as a
    shell would.
    """
    remainder = context.remainder
    return list(remainder.words) if isinstance(remainder, ScriptArguments) else shlex.split(remainder)
