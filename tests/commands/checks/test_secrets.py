from __future__ import annotations

import base64
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.commands.checks.secrets import SecretFound, find_secrets, secret_problems
from amltool.errors import UserError

KEY = base64.b64encode(random.Random(7).randbytes(64)).decode()
SIGNATURE = base64.b64encode(random.Random(8).randbytes(32)).decode().replace("+", "%2B").replace("=", "%3D")
SAS = f"https://x.blob.core.windows.net/c?sv=2022-11-02&sr=c&se=2030-01-01T00%3A00%3A00Z&sp=rl&sig={SIGNATURE}"
CONNECTION = f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey={KEY};EndpointSuffix=core.windows.net"
PRIVATE_KEY = f"-----BEGIN RSA {'PRIVATE'} KEY-----\nMIIEpAIBAAKCAQEA04up8hoqzS1\n"
FILES = ("aml_config/x.compute", "aml_config/x.runconfig", "train.py", "notes.md")


def found(path: str, text: str) -> list[tuple[int, SecretFound]]:
    return [(finding.line, finding.what) for finding in find_secrets(path, text.encode())]


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("before", ["key: ", 'account = "', "x=", "--account-key "])
def test_a_storage_key_is_found_in_any_text(path: str, before: str) -> None:
    assert [line for line, _ in found(path, f"a: 1\n{before}{KEY}\n")] == [2]


@pytest.mark.parametrize("path", FILES)
def test_a_connection_string_is_found_in_any_text(path: str) -> None:
    assert [line for line, _ in found(path, f"# one\n# two\nx: {CONNECTION}\n")] == [3]


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("joint", ["&", "&amp;", "\\u0026"])
def test_a_sas_token_is_found_in_any_text(path: str, joint: str) -> None:
    assert [line for line, _ in found(path, f"u: '{SAS.replace('&', joint)}'\n")] == [1]


def test_a_sas_token_that_begins_with_its_signature_is_found() -> None:
    assert found("a.sh", f"curl 'https://x/?sig={SIGNATURE}&se=2030-01-01&sv=2022-11-02'") == [
        (1, SecretFound.SAS_TOKEN)
    ]


def test_a_private_key_is_found_in_a_file_and_in_a_string() -> None:
    assert found("id_rsa", PRIVATE_KEY) == [(1, SecretFound.PRIVATE_KEY)]
    assert found("a.json", '{"key": "' + PRIVATE_KEY.replace("\n", "\\n") + '"}') == [(1, SecretFound.PRIVATE_KEY)]


def test_the_mere_mention_of_a_private_key_passes() -> None:
    assert (
        found("a.py", f'if text.startswith("-----BEGIN RSA {"PRIVATE"} KEY-----"):\n    raise ValueError(text)\n') == []
    )


def test_a_digest_that_looks_like_a_storage_key_passes() -> None:
    assert found("package-lock.json", f'"integrity": "sha512-{KEY}"') == []
    assert found("a.yml", f"sha512: {KEY}") == []


@pytest.mark.parametrize(
    "line",
    [
        "password: hunter22",
        'password: "hunter22"',
        "'password': hunter22",
        "privateKey: abcdefgh",
        "# password: hunter22",
        "EnvironmentVariables:\n  DB_PASSWORD: hunter22",
        "EnvironmentVariables:\n  API_KEY: hunter22",
        "EnvironmentVariables:\n  URL: postgres://ada:hunter22@db/x",
        "EnvironmentVariables:\n  DB: Server=x;Password=hunter22;",
        "ArgumentVector:\n- --password\n- hunter22",
        "ArgumentVector:\n- --db-password=hunter22",
        "password: >\n  hunter22",
        "password: hunter22\n\tbroken: [",
    ],
)
@pytest.mark.parametrize("path", ["aml_config/x.compute", "aml_config/x.runconfig"])
def test_a_plain_secret_in_configuration_is_found(path: str, line: str) -> None:
    assert found(path, f"{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "password: ${env:DB_PASSWORD}",
        "password: ${keyring:amltool/ada}",
        "password: AzureMlSecret=ada@example.org/x",
        "password: null",
        "password:",
        'password: ""',
        "password: <yours>",
        "# password: write a reference here, never the password",
        "EnvironmentVariables:\n  DB: Server=x;Password=${env:DB_PASSWORD};",
        "EnvironmentVariables:\n  URL: postgres://ada:${env:DB_PASSWORD}@db/x",
        "EnvironmentVariables:\n  MAX_TOKEN: 512",
        "ArgumentVector:\n- --password\n- ${env:X}",
        "privateKeyFile: ~/.ssh/id_ed25519",
        "useSshKey: true",
    ],
)
def test_a_reference_and_what_only_stands_for_a_secret_pass(line: str) -> None:
    assert found("aml_config/x.runconfig", f"{line}\n") == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("train.py", "PASSWORD = 'hunter22'"),
        ("train.py", 'connect(user="ada", password="hunter22")'),
        ("train.py", '{"password": "hunter22"}'),
        ("run.sh", "export DB_PASSWORD=hunter22"),
        ("Dockerfile", "ENV DB_PASSWORD=hunter22"),
    ],
)
def test_a_password_written_into_code_is_found(path: str, text: str) -> None:
    assert found(path, text) == [(1, SecretFound.PASSWORD)]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("train.py", 'password = os.environ["DB_PASSWORD"]'),
        ("train.py", 'password="${DB_PASSWORD}"'),
        ("train.py", 'password: "password"'),
        ("train.py", 'getpass("password: ")'),
        ("run.sh", 'export DB_PASSWORD="$1"'),
        ("README.md", 'password = "hunter22"'),
    ],
)
def test_a_password_that_is_not_written_into_code_passes(path: str, text: str) -> None:
    assert found(path, text) == []


def test_a_binary_file_is_not_looked_into() -> None:
    assert find_secrets("a.bin", b"\0" + CONNECTION.encode()) == []


def test_utf_16_text_is_looked_into() -> None:
    assert find_secrets("a.ps1", CONNECTION.encode("utf-16"))


def test_a_problem_says_where_and_what_and_never_the_value() -> None:
    problems = secret_problems([("a.py", f"\nx = '{CONNECTION}'\npassword='hunter22'\n".encode())])
    assert [problem.message for problem in problems] == [
        "a.py:2: an Azure storage account key",
        "a.py:3: a password in plain text",
    ]
    assert not any(secret in str(problem) for problem in problems for secret in (KEY[:8], "hunter22"))


def test_a_pattern_lets_a_finding_of_that_path_or_line_pass() -> None:
    files = [("tests/a.py", b"password='hunter22'"), ("b.py", b"password='hunter22'  # a sample")]
    assert len(secret_problems(files)) == 2
    assert [p.message for p in secret_problems(files, ["^tests/"])] == ["b.py:1: a password in plain text"]
    assert secret_problems(files, ["^tests/", "# a sample$"]) == []


def test_a_pattern_that_is_no_expression_is_a_users_mistake() -> None:
    with pytest.raises(UserError, match="secrets_allow"):
        secret_problems([], ["["])


@given(st.binary(max_size=300), st.sampled_from(FILES))
@settings(max_examples=150, deadline=None)
def test_no_content_makes_it_fail(content: bytes, path: str) -> None:
    for finding in find_secrets(path, content):
        assert 1 <= finding.line <= content.count(b"\n") + content.count(b"\r") + 1


def test_a_megabyte_of_base64_takes_no_second() -> None:
    content = base64.b64encode(os.urandom(1 << 20))
    start = os.times().user
    find_secrets("a.txt", content)
    assert os.times().user - start < 1
