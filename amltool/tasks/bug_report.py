"""The report of a bug of ours: a file that is ready to paste, with secrets left out.

A reader of the report is a stranger: values of options and variables whose names speak of secrets, passwords in
addresses and Azure keys are replaced wherever they appear, and so is the name of the home folder.
"""

from __future__ import annotations

import base64
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

from amltool import __version__

HIDDEN = "***"
# Shorter values ("1", "true") are no secrets, and to replace them would make the report unreadable.
SHORTEST_SECRET = 6
SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)|secret|token|credential|connection|(?:^|[-_.]|api|account)key(?![a-z])|(?:^|[-_.])sas(?![a-z])",
    re.IGNORECASE,
)
SECRET_TEXT = (
    re.compile(r"((?:AccountKey|SharedAccessKey|SharedAccessSignature|Password|Pwd|sig)=)[^;&\s'\"]+", re.I),
    re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"),
    re.compile(r"((?:Bearer|Basic) )[\w.~+/=-]{8,}"),
)
PACKAGES = ("invoke", "GitPython", "msgspec", "PyYAML", "rich", "jmespath", "pathspec", "docker", "paramiko")


def told(error: BaseException) -> str:
    """Write the report of an error and say, in two sentences, where it is."""
    what = redacted(f"amltool came upon a bug of its own: {_one_line(error)}", sys.argv, os.environ)
    try:
        path = write_report(error, sys.argv, os.environ)
    except OSError as fault:
        return f"{what}\nNo report of it could be written ({fault.strerror}); please say what you did in a new issue."
    return f"{what}\nPlease paste the report into a new issue of amltool: {path}"


def write_report(error: BaseException, arguments: Sequence[str], environment: Mapping[str, str]) -> Path:
    """Write a report that only this user can read into the temporary folder.

    Raises:
        OSError: it cannot be written.
    """
    text = redacted(_report(error, arguments), arguments, environment)
    handle, name = tempfile.mkstemp(prefix="amltool-report-", suffix=".txt")
    os.close(handle)
    path = Path(name)
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path


def redacted(text: str, arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """The text without any secret that can be known as one, and with ``~`` for the home folder."""
    secrets = {value for name, value in environment.items() if SECRET_NAME.search(name)} | set(_given(arguments))
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            for form in _forms(secret):
                text = text.replace(form, HIDDEN)
    for pattern in SECRET_TEXT:
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    home = environment.get("HOME", "")
    return text.replace(home, "~") if len(home) > 1 else text


def _given(arguments: Sequence[str]) -> Iterable[str]:
    """The values on a command line whose option (``--password X``) or name (``token=X``) speaks of a secret."""
    for index, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if not SECRET_NAME.search(name):
            continue
        if equals:
            yield value
        elif word.startswith("-") and index + 1 < len(arguments) and not arguments[index + 1].startswith("-"):
            yield arguments[index + 1]


def _forms(secret: str) -> Iterable[str]:
    """A secret as it is, and as it reads when quoted in a traceback, an address, JSON or base64."""
    raw = os.fsencode(secret)
    forms = [secret, repr(secret)[1:-1], shlex.quote(secret), json.dumps(secret)[1:-1], quote(raw, safe="")]
    return dict.fromkeys([*forms, quote(raw), base64.b64encode(raw).decode("ascii")])


def _report(error: BaseException, arguments: Sequence[str]) -> str:
    command = [Path(arguments[0]).name, *arguments[1:]] if arguments else []
    facts = {
        "amltool": __version__,
        "command": shlex.join(command),
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": f"{sys.version.split()[0]} ({platform.python_implementation()})",
        "platform": platform.platform(),
        "git": _git_version(),
        "packages": ", ".join(_versions()),
    }
    lines = "\n".join(f"{name}: {value}" for name, value in facts.items())
    return f"# A bug of amltool\n\n{lines}\n\n```\n{''.join(traceback.format_exception(error)).rstrip()}\n```\n"


def _one_line(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]


def _git_version() -> str:
    try:
        answer = subprocess.run(["git", "--version"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return "none that answers"
    return answer.stdout.strip().removeprefix("git version ")


def _versions() -> Iterable[str]:
    from importlib.metadata import PackageNotFoundError, version

    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
