from __future__ import annotations

import base64
import stat
import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest

from amltool.tasks.bug_report import redacted, told, write_report
from tests.tasks.sample_project import Project

CANARY = "c4n4ry/pass word+1"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def caught(message: str) -> Exception:
    try:
        raise KeyError(message)
    except KeyError as error:
        return error


def test_a_report_holds_what_is_needed_to_find_the_bug(temporary: Path) -> None:
    text = write_report(caught("lost"), ["/usr/bin/amltool", "show", "a b"], {}).read_text()

    assert "command: amltool show 'a b'\n" in text
    assert "amltool: 0.1.0\n" in text
    assert "invoke 3." in text
    assert "Traceback (most recent call last)" in text
    assert "KeyError: 'lost'" in text


def test_only_the_user_can_read_a_report(temporary: Path) -> None:
    path = write_report(caught("x"), [], {})

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "form",
    [CANARY, repr(CANARY), quote(CANARY), quote(CANARY, safe=""), base64.b64encode(CANARY.encode()).decode()],
    ids=["plain", "repr", "path", "query", "base64"],
)
@pytest.mark.parametrize(
    "name", ["DB_PASSWORD", "GITHUB_TOKEN", "AZURE_STORAGE_KEY", "STORAGE_CONNECTION_STRING", "SAS"]
)
def test_no_form_of_a_secret_variable_is_in_a_report(temporary: Path, name: str, form: str) -> None:
    text = write_report(caught(f"refused: {form}"), ["amltool"], {name: CANARY}).read_text()

    assert form not in text
    assert CANARY not in text


@pytest.mark.parametrize(
    "words",
    [
        ["--password", "hunter22"],
        ["--password=hunter22"],
        ["--set", "API_KEY=hunter22"],
        ["--", "--api-token", "hunter22"],
    ],
)
def test_a_secret_on_the_command_line_is_in_no_line_of_a_report(temporary: Path, words: list[str]) -> None:
    text = write_report(caught("login failed for hunter22"), ["amltool", "attach", *words], {}).read_text()

    assert "hunter22" not in text
    assert "***" in text


@pytest.mark.parametrize(
    "text",
    [
        "AccountName=x;AccountKey=hunter22==;EndpointSuffix=y",
        "https://host/container?sv=1&sig=hunter22%3D",
        "https://ada:hunter22@example.org/repository.git",
        "Authorization: Bearer hunter22hunter22",
    ],
)
def test_what_is_known_to_be_a_secret_by_its_form_is_left_out(text: str) -> None:
    assert "hunter22" not in redacted(text, [], {})


def test_the_home_folder_is_not_named() -> None:
    assert redacted("/home/ada/x.py", [], {"HOME": "/home/ada"}) == "~/x.py"


def test_short_values_of_secret_names_leave_the_text_readable() -> None:
    assert redacted("line 1 is true", [], {"TOKEN": "1", "USE_TOKEN": "true"}) == "line 1 is true"


def test_a_report_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))

    assert "No report of it could be written" in told(caught("x"))


def test_a_message_with_broken_bytes_can_be_reported(temporary: Path) -> None:
    assert "\\udcff" in write_report(caught("\udcff"), ["amltool", "\udcff"], {}).read_text()


def test_the_terminal_does_not_show_a_secret_either(project: Project, program: str) -> None:
    ended = project.run(program, "fail", "bug", PASSWORD=CANARY)

    assert ended.code == 3
    assert CANARY not in ended.err
    assert not [path for path in project.reports() if CANARY in path.read_text()]
