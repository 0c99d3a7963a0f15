"""Secrets in files that are about to be committed or pushed (DESIGN 8). What is found is never repeated.

Everywhere in text: Azure storage keys, shared access signatures (SAS), private keys, passwords written into code.
In ``aml_config``, ``.compute`` and ``.runconfig`` also whatever is named like a secret and is no reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

import msgspec

from amltool.commands.checks.secrets_in_configuration import is_configuration, secrets_in_configuration
from amltool.errors import UserError
from amltool.limits import Level, Problem, shown

LARGEST_TEXT = 4 << 20
"""Bytes of a file that is looked into; a larger one is data."""
MOST_SHOWN = 50
_BINARY_START = 8000
"""Git takes a file for binary when there is a NUL among so many bytes (its ``buffer_is_binary``)."""
_AROUND = 600
"""Bytes before and after a signature in which the other parts of its SAS stand, at the most."""

_STORAGE_KEY = re.compile(rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/]{86}==(?![A-Za-z0-9+/=])")
_ACCESS_KEY = re.compile(
    rb"(?:Account|Access|Storage)_?Key[\"']?\s*[=:]\s*[\"']?[A-Za-z0-9+/]{40,}={0,2}", re.IGNORECASE
)
_DIGEST = re.compile(rb"sha-?\d{3}|digest|integrity|checksum|signature|\bhash", re.IGNORECASE)
_SIGNATURE = re.compile(rb"(?<![A-Za-z])sig=[A-Za-z0-9%+/_-]{16,}")
_SAS_PART = re.compile(rb"(?<![A-Za-z])s[ve]=20[0-9]{2}-")
_PRIVATE_KEY = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    rb"(?:[\s\"',+(]|\\[nrt]){1,80}(?:[A-Za-z0-9+/=]{16}|(?:Proc-Type|DEK-Info|Version|Comment):)"
)
_QUOTED_PASSWORD = re.compile(
    rb"""(?:password|passwd|passphrase)\\?["']?\s*(?::\s*str\s*)?(?:=|:|=>|:=)\s*[rbuf]?\\?["']([^"'\\\s]{6,})\\?["']""",
    re.IGNORECASE,
)
_SHELL_PASSWORD = re.compile(
    rb"^[ \t]*(?:export |ENV |ARG |set )?[ \t]*[A-Z0-9_]*(?:PASSWORD|PASSWD|PASSPHRASE)=([^\s\"'`;]{6,})(?=\s|;|\Z)",
    re.MULTILINE,
)
_PLACEHOLDER = re.compile(
    rb"\$[{(]|\{\w*\}|%[sd(]|\A(?:\$\w+|<.*>|(.)\1*|\.+|(?:your|change|example)[\w-]*|\w*passw(?:or)?d|\w*passphrase)\Z",
    re.IGNORECASE,
)
_PROSE = (".md", ".rst", ".txt", ".html", ".htm", ".tex", ".csv", ".tsv", ".lock", ".svg", ".po")
_SHELL = (".sh", ".bash", ".zsh", ".env", "Dockerfile", "Makefile")


class SecretFound(str, Enum):
    """What was found, as a message says it."""

    STORAGE_KEY = "an Azure storage account key"
    ACCESS_KEY = "an access key of a connection string"
    SAS_TOKEN = "a shared access signature (SAS token)"  # noqa: S105 - a name, not one
    PRIVATE_KEY = "a private key"
    PASSWORD = "a password in plain text"  # noqa: S105 - a name, not one
    PLAIN_SECRET = "a secret in plain text"  # noqa: S105 - a name, not one


class Finding(msgspec.Struct, frozen=True):
    """Where a secret stands (lines count from 1); its value is nowhere in this."""

    path: str
    line: int
    what: SecretFound


_REMEDIES = {
    SecretFound.PRIVATE_KEY: "Name the key's file instead (privateKeyFile), or load it into the SSH agent.",
    SecretFound.STORAGE_KEY: "Read it from the environment in a script; in aml_config write ${env:NAME} in its place.",
}
_REMEDY = "Write a reference in its place, ${env:NAME} or ${keyring:service/user}; a script reads os.environ."
_AFTERWARDS = (
    "Renew it if it was ever committed: Git keeps it. A false alarm is let through by a pattern in secrets_allow."
)


def secret_problems(files: Iterable[tuple[str, bytes | None]], allow: Sequence[str] = ()) -> list[Problem]:
    """The secrets in these files (path and content; ``None`` where it is too large to look into).

    ``allow`` holds regular expressions; a finding passes whose ``PATH:LINE`` one of them is found in, LINE being the
    text of the line.

    Raises:
        UserError: one of ``allow`` is no regular expression.
    """
    allowed = [_compiled(pattern) for pattern in allow]
    findings = sorted(
        {finding for path, content in files if content is not None for finding in find_secrets(path, content, allowed)},
        key=lambda finding: (finding.path, finding.line),
    )
    problems = [
        Problem(
            "secret",
            Level.ERROR,
            f"{shown(finding.path)}:{finding.line}: {finding.what.value}",
            f"{_REMEDIES.get(finding.what, _REMEDY)}\n{_AFTERWARDS}",
        )
        for finding in findings[:MOST_SHOWN]
    ]
    if len(findings) > MOST_SHOWN:
        problems.append(Problem("secret", Level.ERROR, f"and {len(findings) - MOST_SHOWN} more", _AFTERWARDS))
    return problems


def find_secrets(path: str, content: bytes, allowed: Sequence[re.Pattern[str]] = ()) -> list[Finding]:
    """The secrets in one file, at most one a line; none in a binary one."""
    text = _as_text(content)
    if text is None:
        return []
    lines: dict[int, SecretFound] = {}
    for offset, what in _anywhere(path, text):
        lines.setdefault(text.count(b"\n", 0, offset) + 1, what)
    if is_configuration(path):
        for line in secrets_in_configuration(text):
            lines.setdefault(line, SecretFound.PLAIN_SECRET)
    if not lines:
        return []
    texts = text.decode("utf-8", "replace").split("\n")
    return [
        Finding(path, line, what)
        for line, what in lines.items()
        if not any(pattern.search(f"{path}:{texts[line - 1]}") for pattern in allowed)
    ]


def _as_text(content: bytes) -> bytes | None:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace").encode("utf-8", "replace")
    return None if b"\0" in content[:_BINARY_START] else content.replace(b"\r\n", b"\n")


def _anywhere(path: str, text: bytes) -> Iterator[tuple[int, SecretFound]]:
    for found in _STORAGE_KEY.finditer(text):
        before = text[max(text.rfind(b"\n", 0, found.start()) + 1, found.start() - _AROUND) : found.start()]
        if not _DIGEST.search(before):
            yield found.start(), SecretFound.STORAGE_KEY
    for found in _ACCESS_KEY.finditer(text):
        yield found.end() - 1, SecretFound.ACCESS_KEY
    for found in _SIGNATURE.finditer(text):
        if _SAS_PART.search(text, max(0, found.start() - _AROUND), found.end() + _AROUND):
            yield found.start(), SecretFound.SAS_TOKEN
    for found in _PRIVATE_KEY.finditer(text):
        yield found.start(), SecretFound.PRIVATE_KEY
    for expression in _password_expressions(path):
        for found in expression.finditer(text):
            if not _PLACEHOLDER.search(found[1]):
                yield found.start(1), SecretFound.PASSWORD


def _password_expressions(path: str) -> tuple[re.Pattern[bytes], ...]:
    name = path.rpartition("/")[2]
    if name.lower().endswith(_PROSE):
        return ()
    return (_QUOTED_PASSWORD, _SHELL_PASSWORD) if name.endswith(_SHELL) else (_QUOTED_PASSWORD,)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"secrets_allow: {shown(pattern)} is no regular expression: {error.msg}.",
            "Mend it in [tool.amltool] of pyproject.toml or in aml_config/project.yml.",
        ) from None
