"""The command lines of the checks; imported only when there are arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TypeVar

from amltool.commands.checks.limits import LimitArguments
from amltool.errors import UserError
from amltool.hooks.checks import CHECKS, Options
from amltool.limits import Profile, parse_size

Value = TypeVar("Value")


def parse(name: str, arguments: Sequence[str]) -> Options:
    """The options of a check; leaves with 2 and a usage line where they are none, as argparse does."""
    parser = argparse.ArgumentParser(f"amltool-check-{name}", description=CHECKS[name].__doc__)
    _add_common(parser)
    if name in ("limits", "ignore", "notebooks"):
        _add_limits(parser)
    if name == "notebooks":
        parser.add_argument("--max-output-size", type=_size, metavar="SIZE", help="of one notebook's outputs")
    if name == "secrets":
        parser.add_argument("--all", action="store_true", help="every file, not only what is staged or pushed")
        parser.add_argument("--allow", action="append", default=[], metavar="REGEX", help="let PATH:LINE pass")
    found = parser.parse_args(arguments)
    given = vars(found)
    return Options(
        json=found.json,
        strict=found.strict,
        everything=given.get("all", False),
        commit=found.commit,
        known=found.since,
        remote=found.remote,
        limits=_limit_arguments(found) if "max_size" in given else None,
        notebook_output_size=given.get("max_output_size"),
        allow=tuple(given.get("allow", ())),
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--strict", action="store_true", help="refuse warnings too")
    parser.add_argument("--commit", metavar="REV", help="look at this commit instead of the index")
    parser.add_argument("--since", metavar="REV", help="with --commit: what came before this is known")
    parser.add_argument("--remote", metavar="NAME", help="with --commit: what this Git remote has is known")
    parser.add_argument("files", nargs="*", help=argparse.SUPPRESS)


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--warn-size", type=_size, metavar="SIZE", help="such as 25MB")
    parser.add_argument("--max-size", type=_size, metavar="SIZE", help="such as 300MB")
    parser.add_argument("--max-files", type=int, metavar="N")
    parser.add_argument("--max-file-size", type=_size, metavar="SIZE", help="of a single file")
    parser.add_argument("--profile", type=_checked(Profile), choices=list(Profile), metavar="sdk|workbench")


def _limit_arguments(found: argparse.Namespace) -> LimitArguments:
    return LimitArguments(found.warn_size, found.max_size, found.max_files, found.max_file_size, found.profile)


def _checked(read: Callable[[str], Value]) -> Callable[[str], Value]:
    def checked(text: str) -> Value:
        try:
            return read(text)
        except (UserError, ValueError) as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


_size = _checked(parse_size)
