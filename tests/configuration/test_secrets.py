"""References to secrets, and what they stand for."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from amltool.configuration.secrets import SecretKind, SecretReference, parse_reference, resolve_variables
from amltool.errors import MissingExtraError, UserError


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("${env:GPU_PASSWORD}", SecretReference(SecretKind.ENVIRONMENT, "GPU_PASSWORD")),
        ("${keyring:amltool/gpu/ada}", SecretReference(SecretKind.KEYRING, "amltool/gpu", "ada")),
        ("AzureMlSecret=vm#ada#00ff", SecretReference(SecretKind.CREDENTIAL_SERVICE, "vm#ada#00ff")),
    ],
)
def test_a_reference_is_read_and_written_as_it_was(text: str, reference: SecretReference) -> None:
    assert parse_reference(text) == reference
    assert str(reference) == text


@pytest.mark.parametrize(
    "text", ["hunter2", "${env:}", "${env:A B}", "${keyring:x}", "$env:X", "AzureMlSecret=", "x${env:A}"]
)
def test_anything_else_is_no_reference(text: str) -> None:
    assert parse_reference(text) is None


def test_variables_get_their_secrets_and_the_secrets_are_told_apart() -> None:
    variables = {"A": "plain", "B": "${env:TOKEN}", "C": "db://ada:${env:TOKEN}@host/${env:N}", "D": "${unknown}"}

    resolved, secrets = resolve_variables(variables, {"TOKEN": "hunter2", "N": "1"})

    assert resolved == {"A": "plain", "B": "hunter2", "C": "db://ada:hunter2@host/1", "D": "${unknown}"}
    assert secrets == ["hunter2"]


def test_a_secret_that_is_not_there_is_named_with_its_variable_and_the_remedy() -> None:
    with pytest.raises(UserError) as caught:
        resolve_variables({"PASSWORD": "${env:GPU_PASSWORD}"}, {})

    assert caught.value.what.startswith("Environment variable PASSWORD: ")
    assert "GPU_PASSWORD is not set" in caught.value.what
    assert caught.value.remedy == "Set it and run the command again: export GPU_PASSWORD=..."


def test_the_credential_service_is_gone_and_that_is_said() -> None:
    with pytest.raises(UserError, match="credential service of Azure ML Workbench, which is gone"):
        SecretReference(SecretKind.CREDENTIAL_SERVICE, "vm#ada#00ff").resolve()


def fake_keyring(monkeypatch: pytest.MonkeyPatch, passwords: dict[tuple[str, str], str]) -> None:
    keyring, errors = types.ModuleType("keyring"), types.ModuleType("keyring.errors")
    keyring.get_password = lambda service, user: passwords.get((service, user))  # type: ignore[attr-defined]
    errors.KeyringError = type("KeyringError", (Exception,), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)


def test_the_keyring_is_asked_for_service_and_user(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_keyring(monkeypatch, {("amltool", "ada"): "hunter2"})

    assert SecretReference(SecretKind.KEYRING, "amltool", "ada").resolve() == "hunter2"


def test_an_empty_keyring_says_how_to_fill_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_keyring(monkeypatch, {})

    with pytest.raises(UserError, match="keyring set amltool ada"):
        SecretReference(SecretKind.KEYRING, "amltool", "ada").resolve()


def test_without_the_keyring_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)

    with pytest.raises(MissingExtraError, match=r"amltool\[ssh\]"):
        SecretReference(SecretKind.KEYRING, "amltool", "ada").resolve()


class _Broken(types.ModuleType):
    """A keyring's package whose every call fails, as a backend's own errors do."""

    def __init__(self, error: Exception) -> None:
        super().__init__("keyring")
        self._error = error

    def get_password(self, service: str, user: str) -> str:
        raise self._error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("Failed to unlock the collection!"), "RuntimeError: Failed to unlock the collection!."),
        (ModuleNotFoundError("No module named 'nosuch'"), "ModuleNotFoundError: No module named 'nosuch'."),
        (OSError("No bus. See the log.\nof D-Bus"), "OSError: No bus."),
        (KeyError(), "KeyError."),
    ],
)
def test_a_keyring_that_fails_is_a_sentence(monkeypatch: pytest.MonkeyPatch, error: Exception, said: str) -> None:
    monkeypatch.setitem(sys.modules, "keyring", _Broken(error))

    with pytest.raises(UserError) as caught:
        SecretReference(SecretKind.KEYRING, "amltool", "ada").resolve()

    assert caught.value.what == f"The keyring cannot be read for ${{keyring:amltool/ada}}: {said}"
    assert "${env:NAME}" in caught.value.remedy
    assert not isinstance(caught.value, MissingExtraError)


def test_a_keyring_that_cannot_be_loaded_is_not_taken_for_one_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "keyring.py").write_text("import nosuch_backend\n")
    monkeypatch.delitem(sys.modules, "keyring", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "nosuch_backend.Keyring")

    with pytest.raises(
        UserError, match=r"PYTHON_KEYRING_BACKEND=nosuch_backend\.Keyring, ModuleNotFoundError"
    ) as caught:
        SecretReference(SecretKind.KEYRING, "amltool", "ada").resolve()

    assert not isinstance(caught.value, MissingExtraError)
