"""The optional parts of amltool: which packages each extra brings, and the sentence where they are not installed."""

from __future__ import annotations

import importlib.util

from amltool.errors import MissingExtraError

DOCKER, SSH, CONDA, AZURE = "docker", "ssh", "conda", "azure"
MODULES: dict[str, tuple[str, ...]] = {
    DOCKER: ("docker", "requests", "urllib3"),
    SSH: ("paramiko", "keyring", "cryptography", "nacl", "bcrypt"),
    CONDA: ("rattler",),
    AZURE: ("azure.storage.blob", "azure", "msal", "isodate"),
}
"""Extra -> the modules it brings, the one that is looked for first."""
PARTS = {
    DOCKER: "A compute target with Docker",
    SSH: "A machine over SSH",
    CONDA: "A conda environment without conda, mamba or micromamba",
    AZURE: "An artifact store in Azure Blob Storage",
}
"""Extra -> what needs it."""


def is_installed(extra: str) -> bool:
    """Return True if the packages of an extra are here; loads nothing."""
    try:
        return importlib.util.find_spec(MODULES[extra][0]) is not None
    except (ImportError, ValueError):
        return False


def require(extra: str) -> None:
    """Go on only if the packages of an extra are here; loads nothing.

    Raises:
        MissingExtraError: they are not; says what to install.
    """
    if not is_installed(extra):
        raise missing(extra)


def missing(extra: str) -> MissingExtraError:
    """The sentence for an extra that is not installed."""
    return MissingExtraError(PARTS[extra], extra)


def extra_of(error: ImportError) -> str | None:
    """The extra that would have brought the module that was not found; ``None`` where none would."""
    module = (error.name or "").partition(".")[0]
    return next((extra for extra, modules in MODULES.items() if module in modules), None)
