"""Kinds of values, and tables of keys."""

from __future__ import annotations

import pytest

from amltool.configuration import fields as kind
from amltool.configuration.fields import Field, Table, Unknown, read_fields, refuse_plain_secrets
from amltool.configuration.reading import read_tree
from amltool.configuration.tree import Findings


def read(content: str, table: Table) -> tuple[dict[str, object], Findings]:
    findings = Findings("f")
    return read_fields(findings, read_tree(content.encode(), findings), table), findings


def value_of(text: str, of_kind: kind.Kind) -> tuple[object, list[str]]:
    values, findings = read(f"key: {text}\n", Table((Field("key", "key", of_kind, "absent"),)))
    return values["key"], [str(mistake) for mistake in findings.mistakes]


@pytest.mark.parametrize(
    ("text", "of_kind", "value"),
    [
        ("3.10", kind.text, "3.10"),
        ("true", kind.text, "true"),
        ("", kind.text, "absent"),
        ("''", kind.text, "absent"),
        ("null", kind.boolean, "absent"),
        ("Yes", kind.boolean, True),
        ("'false'", kind.boolean, False),
        ("22", kind.integer(1, 65535), 22),
        ("1.5", kind.number, 1.5),
        ("25 MB", kind.size, 25 * 1024**2),
        ("2g", kind.size, 2 * 1024**3),
        ("1048576", kind.size, 1048576),
        ("1.5 GiB", kind.size, 3 * 512 * 1024**2),
        ("[a, 1, 0.10]", kind.texts, ("a", "1", "0.10")),
        ("{a: 1, b: }", kind.text_map, {"a": "1", "b": ""}),
        (r"Config\conda.yml", kind.project_path, "Config/conda.yml"),
        ("./aml_config//x.yml", kind.project_path, "aml_config/x.yml"),
    ],
)
def test_a_value_is_read_as_its_kind(text: str, of_kind: kind.Kind, value: object) -> None:
    assert value_of(text, of_kind) == (value, [])


@pytest.mark.parametrize(
    ("text", "of_kind", "message"),
    [
        ("true.", kind.boolean, "expected true or false, found 'true.' (did you mean 'true'?)"),
        ("1", kind.boolean, "expected true or false, found '1'"),
        ("[a]", kind.text, "expected text, found a list"),
        ("70000", kind.integer(1, 65535), "expected a whole number from 1 to 65535, found '70000'"),
        ("9" * 30, kind.integer(1), "expected a whole number of at least 1"),
        ("0x16", kind.integer(1), "expected a whole number"),
        ("-1", kind.number, "expected a number greater than 0"),
        ("25 XB", kind.size, "expected a size such as 25 MB"),
        ("0", kind.size, "expected a size such as 25 MB"),
        ("25 \u212ab", kind.size, "expected a size such as 25 MB"),
        ("a, b", kind.texts, "expected a list"),
        ("[a, [b]]", kind.texts, "expected text in the list, found a list"),
        ("[a]", kind.text_map, "expected a map of `name: value` lines, found a list"),
        ("/etc/passwd", kind.project_path, "expected a path inside the project"),
        ("a/../../b", kind.project_path, "expected a path inside the project"),
        (r"C:\x", kind.project_path, "expected a path inside the project"),
        ("{'A=B': 1}", kind.variables, "cannot be the name of an environment variable"),
        ("{A: '${keyring:only-service}'}", kind.variables, "${keyring:service/user}"),
    ],
)
def test_a_value_of_another_kind_is_a_mistake_with_its_place(text: str, of_kind: kind.Kind, message: str) -> None:
    value, mistakes = value_of(text, of_kind)

    assert value == "absent"
    assert mistakes[0].startswith("f:1:")
    assert message in mistakes[0]


TABLE = Table((Field("pythonLocation", "python", kind.text, "python"),), ignored=frozenset({"Description"}))


def test_an_unknown_key_is_a_warning_when_nothing_like_it_is_known() -> None:
    _, findings = read("something: 1\n", TABLE)

    assert not findings.mistakes
    assert findings.warning_texts() == ("f:1:1: unknown key 'something' is ignored",)


@pytest.mark.parametrize("key", ["pythonLocatoin", "PythonLocation", "python_location"])
def test_an_unknown_key_that_looks_like_a_known_one_is_a_mistake(key: str) -> None:
    _, findings = read(f"{key}: x\n", TABLE)

    assert [str(mistake) for mistake in findings.mistakes] == [
        f"f:1:1: unknown key '{key}': did you mean 'pythonLocation'?"
    ]


def test_a_key_of_the_ancestor_that_means_nothing_any_more_is_passed_over() -> None:
    values, findings = read("Description: x\n", TABLE)

    assert values == {"python": "python"}
    assert not findings.mistakes
    assert not findings.warnings


def test_where_the_keys_are_ours_every_unknown_one_is_a_mistake() -> None:
    _, findings = read("something: 1\n", Table(TABLE.fields, unknown=Unknown.MISTAKE))

    assert "known are pythonLocation" in str(findings.mistakes[0])


def test_a_secret_is_not_repeated_wherever_it_was_put_by_mistake() -> None:
    for text in ("{'password: hunter2': [x]}", "'https://ada:hunter2@example.org'", "'sas?sig=hunter2'"):
        for of_kind in (kind.boolean, kind.size, kind.text_map, kind.integer(1)):
            assert "hunter2" not in "".join(value_of(text, of_kind)[1])


def test_a_plain_secret_is_found_at_any_depth() -> None:
    findings = Findings("f")
    content = (
        b"a:\n  - dbPassword: hunter2\n    b: {api_token: hunter2, secret: '${env:S}', passwordless: yes, token: }\n"
    )
    refuse_plain_secrets(findings, read_tree(content, findings))

    assert [mistake.line for mistake in findings.mistakes] == [2, 3]
    assert "hunter2" not in "".join(map(str, findings.mistakes))
