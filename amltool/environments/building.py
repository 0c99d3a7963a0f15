"""What every build of an environment has in common: its variables, its log without secrets, how its failure is told."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from amltool.configuration.compute import ComputeTarget, PipSettings
from amltool.configuration.secrets import resolve_text, resolve_variables
from amltool.environments.base import Progress
from amltool.environments.lock import without_credentials
from amltool.environments.recipe import Recipe
from amltool.errors import UserError
from amltool.tracking.redaction import Redactor

TAIL = 15
"""So many of the last lines of a failed build are shown."""
LONGEST_LINE = 2000
UNTRUSTED = (
    "This network shows certificates that the build does not trust, as a company's does. Name the file that has them "
    "as caCertificates in the .compute, or in the variable SSL_CERT_FILE (of a login there, where the build is on a "
    "remote machine); then run the same command again."
)
_USER_PART = re.compile(r"://([^/@\s]+)@")
_CONDA_TOKEN = re.compile(r"://[^\s/]+/t/([^/\s]+)/")
_PROXIES = frozenset({"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"})


class BuildVariables(msgspec.Struct, frozen=True):
    """Environment variables of a build with all references resolved, and what among them must never be shown."""

    variables: dict[str, str]
    secrets: tuple[str, ...]


def build_variables(
    compute: ComputeTarget,
    *,
    ca_certificates: str | None = None,
    pip_configuration: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> BuildVariables:
    """The variables that take a compute target's ``buildArguments``, ``pip`` and ``caCertificates`` to a build.

    ``ca_certificates`` and ``pip_configuration`` are where the build sees these files, when that is not where this
    machine does; ``environment`` is what ``${env:NAME}`` references are resolved in (this process's by default).

    Raises:
        UserError: a secret is not there, or a file is not.
    """
    variables, found = resolve_variables(compute.build_arguments, environment)
    secrets = dict.fromkeys(found)
    certificates, configuration = ca_bundle(compute), pip_configuration_file(compute)
    for name, text in _pip(compute.pip).items():
        variables[name], found = resolve_text(text, environment)
        secrets |= dict.fromkeys(found)
    if configuration is not None:
        variables["PIP_CONFIG_FILE"] = pip_configuration or str(configuration)
        secrets |= dict.fromkeys(url_secrets(configuration.read_text("utf-8", "replace")))
    if certificates is not None:
        variables |= certificate_variables(ca_certificates or str(certificates))
    for value in variables.values():
        secrets |= dict.fromkeys(url_secrets(value))
    return BuildVariables(variables, tuple(secrets))


def _pip(pip: PipSettings) -> dict[str, str]:
    """Pip's and uv's names for the same settings; lists are separated by blanks in all of them."""
    found = {
        ("PIP_INDEX_URL", "UV_INDEX_URL"): pip.index_url or "",
        ("PIP_EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL"): " ".join(pip.extra_index_urls),
        ("PIP_TRUSTED_HOST", "UV_INSECURE_HOST"): " ".join(pip.trusted_hosts),
    }
    return {name: value for names, value in found.items() if value for name in names}


def certificate_variables(path: str) -> dict[str, str]:
    """What tells pip, uv, requests, curl and conda about a bundle of CA certificates (it replaces their own)."""
    names = (
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "PIP_CERT",
        "CONDA_SSL_VERIFY",
        "MAMBA_SSL_VERIFY",
    )
    return dict.fromkeys(names, path)


def ca_bundle(compute: ComputeTarget) -> Path | None:
    """The file of ``caCertificates`` on this machine. Raises UserError where it is named and is not there."""
    return _file(compute, compute.ca_certificates, "caCertificates")


def pip_configuration_file(compute: ComputeTarget) -> Path | None:
    """The file of ``pip.configurationFile`` on this machine. Raises UserError where it is named and is not there."""
    return _file(compute, compute.pip.configuration_file, "pip.configurationFile")


def _file(compute: ComputeTarget, name: str | None, setting: str) -> Path | None:
    if not name:
        return None
    path = Path(name).expanduser()
    if not path.is_absolute() or not path.is_file():
        raise UserError(
            f"{setting} of the compute target {compute.name} names {name}, and there is no such file.",
            "Give the absolute path of a file on this machine (~ is your home folder).",
        )
    return path


def build_circumstances(compute: ComputeTarget) -> tuple[str, ...]:
    """The settings that decide what a build gives, for `Recipe.key`: without secrets, which may change, and without
    proxies and certificates, which only say how it gets there."""
    pip, configuration = compute.pip, pip_configuration_file(compute)
    said = [f"{name}={without_credentials(value)}" for name, value in sorted(_pip(pip).items())]
    arguments = sorted((name, text) for name, text in compute.build_arguments.items() if name.lower() not in _PROXIES)
    said += [f"{name}={without_credentials(text)}" for name, text in arguments]
    if configuration is not None:
        text = without_credentials(configuration.read_text("utf-8", "replace"))
        said.append(f"pip.conf={hashlib.sha256(text.encode()).hexdigest()}")
    return tuple(said)


def url_secrets(text: str) -> list[str]:
    """The passwords (or tokens) in the URLs of a text, as they stand there and decoded."""
    from urllib.parse import unquote

    found: dict[str, None] = {}
    for match in _USER_PART.finditer(text):
        user, colon, password = match[1].partition(":")
        for secret in (password if colon else user, match[1]):
            found |= dict.fromkeys((secret, unquote(secret)))
    found |= dict.fromkeys(_CONDA_TOKEN.findall(text))
    return [secret for secret in found if len(secret) >= 4 and "${" not in secret]


def recipe_secrets(recipe: Recipe) -> list[str]:
    """Passwords that somebody wrote into a conda file; they are no secrets any more, and still not for the log."""
    return url_secrets("\n".join((*recipe.channels, *recipe.explicit, *recipe.pip_options, *recipe.pip)))


class BuildLog:
    """Takes the output of a build in whatever pieces it comes, and gives it on line by line without its secrets."""

    def __init__(self, progress: Progress, secrets: Iterable[str]) -> None:
        self.progress = progress
        self._redactor = Redactor(secrets)
        self._held = b""
        self.lines: list[str] = []

    def feed(self, chunk: bytes) -> None:
        """Some more of the output; no bytes mean that it has ended."""
        said = self._held + self._redactor.redact(chunk)
        *whole, self._held = said.split(b"\n") if chunk else [*said.split(b"\n"), b""]
        for line in whole:
            text = line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2].rstrip()[:LONGEST_LINE]
            if text:
                self.lines = [*self.lines[-(TAIL - 1) :], text]
                self.progress.log(text)

    def say(self, line: str) -> None:
        """A line of our own among the output."""
        self.feed(line.encode("utf-8", "surrogateescape") + b"\n")


def build_failed(step: str, lines: Iterable[str], remedy: str) -> UserError:
    """The failure of a build: which step failed, the last lines of its output (redacted already), what to do.

    Where a certificate was not trusted, that is what to mend, whatever the step was.
    """
    lines = list(lines)
    tail = "\n".join(f"  {line}" for line in lines)
    if any("certificate verify failed" in line.lower() or "invalid peer certificate" in line.lower() for line in lines):
        remedy = UNTRUSTED
    return UserError(f"{step} failed. The last of what it said:\n{tail}" if tail else f"{step} failed.", remedy)
