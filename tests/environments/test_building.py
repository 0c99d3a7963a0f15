"""What a compute target's settings come to in a build, and what of it is shown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from amltool.configuration.compute import ComputeTarget, ComputeType, PipSettings
from amltool.environments.building import (
    BuildLog,
    build_circumstances,
    build_failed,
    build_variables,
    recipe_secrets,
    url_secrets,
)
from amltool.environments.recipe import Recipe
from amltool.errors import UserError
from tests.environments.conftest import Told


def local(**settings) -> ComputeTarget:
    return ComputeTarget(name="local", type=ComputeType.LOCAL, **settings)


class TestVariables:
    def test_indexes_are_told_to_pip_and_to_uv(self):
        pip = PipSettings(
            index_url="https://a.example.org/", extra_index_urls=("https://b.example.org/", "https://c.example.org/")
        )
        found = build_variables(local(pip=pip))
        assert found.variables == {
            "PIP_INDEX_URL": "https://a.example.org/",
            "UV_INDEX_URL": "https://a.example.org/",
            "PIP_EXTRA_INDEX_URL": "https://b.example.org/ https://c.example.org/",
            "UV_EXTRA_INDEX_URL": "https://b.example.org/ https://c.example.org/",
        }
        assert found.secrets == ()

    def test_references_are_resolved_and_known_as_secrets(self):
        compute = local(
            pip=PipSettings(index_url="https://ada:${env:INDEX_TOKEN}@example.org/"),
            build_arguments={"KEY": "${env:KEY}"},
        )
        found = build_variables(compute, environment={"INDEX_TOKEN": "hunter22", "KEY": "opensesame"})
        assert found.variables["PIP_INDEX_URL"] == "https://ada:hunter22@example.org/"
        assert found.variables["KEY"] == "opensesame"
        assert {"hunter22", "opensesame"} <= set(found.secrets)

    def test_passwords_in_urls_are_known_as_secrets_however_they_are_written(self):
        assert {"p%40ss", "p@ss"} <= set(url_secrets("see https://ada:p%40ss@example.org/ and http://example.org/x"))
        found = build_variables(local(build_arguments={"https_proxy": "http://ada:hunter22@proxy:3128"}))
        assert "hunter22" in found.secrets

    def test_passwords_that_stand_in_the_conda_file_are_kept_from_the_log(self):
        recipe = Recipe(
            channels=("https://example.org/t/tk-secret/main",), pip_options=("-i https://ada:hunter22@example.org/",)
        )
        assert {"tk-secret", "hunter22"} <= set(recipe_secrets(recipe))
        assert recipe_secrets(Recipe(pip_options=("-i https://${USER}:${TOKEN}@example.org/",))) == []

    def test_a_secret_that_is_not_there_is_a_clear_error(self):
        with pytest.raises(UserError, match="KEY"):
            build_variables(local(build_arguments={"KEY": "${env:KEY}"}), environment={})

    def test_certificates_and_pip_conf_are_named_where_the_build_sees_them(self, tmp_path):
        (tmp_path / "ca.pem").write_text("certificate")
        (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://ada:hunter22@example.org/\n")
        pip = PipSettings(configuration_file=str(tmp_path / "pip.conf"))
        compute = local(ca_certificates=str(tmp_path / "ca.pem"), pip=pip)
        here = build_variables(compute)
        assert here.variables["SSL_CERT_FILE"] == here.variables["PIP_CERT"] == str(tmp_path / "ca.pem")
        assert here.variables["PIP_CONFIG_FILE"] == str(tmp_path / "pip.conf")
        assert "hunter22" in here.secrets
        there = build_variables(compute, ca_certificates="/in/ca.pem", pip_configuration="/in/pip.conf")
        assert there.variables["REQUESTS_CA_BUNDLE"] == "/in/ca.pem"
        assert there.variables["PIP_CONFIG_FILE"] == "/in/pip.conf"

    @pytest.mark.parametrize("name", ["relative.pem", "/nowhere/ca.pem"])
    def test_a_file_that_is_not_there_is_a_clear_error(self, name):
        with pytest.raises(UserError, match="caCertificates"):
            build_variables(local(ca_certificates=name))


class TestCircumstances:
    def test_another_index_is_another_environment_and_another_password_is_not(self):
        urls = ["https://ada:one1@a.example.org/", "https://ada:two2@a.example.org/", "https://b.example.org/"]
        first, second, third = (build_circumstances(local(pip=PipSettings(index_url=url))) for url in urls)
        assert first == second != third
        assert "one1" not in str(first)

    def test_proxies_decide_nothing_and_other_build_arguments_do(self):
        assert build_circumstances(local(build_arguments={"HTTPS_PROXY": "http://proxy"})) == ()
        assert build_circumstances(local(build_arguments={"CFLAGS": "-O3"})) != ()

    def test_what_a_pip_conf_says_decides_but_not_its_passwords(self, tmp_path):
        said = set()
        for text in ("index-url = https://a:one1@x/", "index-url = https://a:two2@x/", "index-url = https://y/"):
            (tmp_path / "pip.conf").write_text(f"[global]\n{text}\n")
            said.add(build_circumstances(local(pip=PipSettings(configuration_file=str(tmp_path / "pip.conf")))))
        assert len(said) == 2


class TestLog:
    @settings(max_examples=60, deadline=None)
    @given(some.lists(some.integers(1, 12), max_size=20))
    def test_secrets_are_taken_out_wherever_the_pieces_are_cut(self, sizes):
        content = b"first hunter22\nhttps://ada:hunter22@x/ line\nlast without an end hunter22"
        told = Told()
        log = BuildLog(told, ["hunter22"])
        for size in sizes:
            piece, content = content[:size], content[size:]
            if piece:
                log.feed(piece)
        if content:
            log.feed(content)
        log.feed(b"")
        assert told.logged == [
            "first [redacted]",
            "https://ada:[redacted]@x/ line",
            "last without an end [redacted]",
        ]

    def test_of_a_progress_bar_the_last_state_is_a_line(self):
        told = Told()
        BuildLog(told, []).feed(b" 10%\r 50%\r100%\n")
        assert told.logged == ["100%"]

    def test_the_last_lines_are_kept_for_the_failure(self):
        log = BuildLog(Told(), [])
        for number in range(40):
            log.say(f"line {number}")
        error = build_failed("Installing", log.lines, "Do this.")
        assert "line 39" in error.what
        assert "line 20" not in error.what
        assert error.remedy == "Do this."
