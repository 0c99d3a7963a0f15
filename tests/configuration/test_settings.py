"""A project's settings, from two files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from amltool.configuration.settings import Settings, read_settings
from amltool.errors import ConfigurationError
from amltool.limits import MB, Limits, Profile

GB = 1024 * MB


def mistakes_of(pyproject: str | None = None, project_file: str | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read_settings(*(None if text is None else text.encode() for text in (pyproject, project_file)))
    return [str(mistake) for mistake in caught.value.mistakes]


def test_without_files_the_defaults_hold() -> None:
    settings = read_settings(None, None)

    assert settings == Settings()
    assert settings.limits == Limits(25 * MB, 300 * MB, 2000, Profile.SDK)
    assert (settings.max_artifact_size, settings.keep_run_folders, settings.script) == (512 * MB, 3, None)


@pytest.mark.parametrize(
    "pyproject",
    [
        b'[tool.amltool]\nscript = "train.py"\n',
        b'[tool]\namltool.script = "train.py"\n',
        b'[tool]\namltool = {script = "train.py"}\n',
        b'tool.amltool.script = "train.py"\n',
        b'[tool."amltool"]\r\nscript = "train.py"\r\n',
        b'\xef\xbb\xbf[tool.amltool]\nscript = "train.py"\n',
    ],
)
def test_our_table_is_found_however_toml_writes_it(pyproject: bytes) -> None:
    assert read_settings(pyproject, None).script == "train.py"


def test_project_yml_wins_key_by_key_also_inside_the_limits() -> None:
    pyproject = (
        b'[tool.amltool]\nscript = "a.py"\naccount = "ada"\n[tool.amltool.limits]\nmax_size = "1 GB"\nmax_files = 10\n'
    )
    project_file = b"script: b.py\nlimits:\n  max_files: 20\n"

    settings = read_settings(pyproject, project_file)

    assert (settings.script, settings.account) == ("b.py", "ada")
    assert settings.limits == Limits(25 * MB, GB, 20, Profile.SDK)


def test_every_setting_is_read() -> None:
    settings = read_settings(
        None,
        b"account: a\nworkspace: w\nproject: p\nscript: src/train.py\nrequire_clean: true\nartifact_store: ~/kept\n"
        b"max_artifact_size: 1 GB\nkeep_run_folders: 0\nshare_hash: yes\nmax_file_size: 10 MB\n"
        b"notebook_output_size: 100 KB\n"
        b"secrets_allow: ['tests/*']\nstrict_hooks: true\nwarn_unpushed_history: false\nlimits: {warn_size: 1048576}\n",
    )

    assert settings == Settings(
        account="a",
        workspace="w",
        project="p",
        script="src/train.py",
        require_clean=True,
        limits=Limits(warn_size=MB),
        artifact_store="~/kept",
        max_artifact_size=GB,
        keep_run_folders=0,
        share_hash=True,
        max_file_size=10 * MB,
        notebook_output_size=100 * 1024,
        secrets_allow=("tests/*",),
        strict_hooks=True,
        warn_unpushed_history=False,
    )


def test_the_workbench_profile_has_limits_of_its_own_that_can_be_set_singly() -> None:
    assert read_settings(None, b"limits: {profile: workbench}\n").limits == Limits.of(Profile.WORKBENCH)
    assert read_settings(None, b"limits: {profile: workbench, max_size: 30 MB}\n").limits == Limits(
        Limits.of(Profile.WORKBENCH).warn_size, 30 * MB, None, Profile.WORKBENCH
    )


@pytest.mark.parametrize("unlimited", ["null", "~", "0"])
def test_the_number_of_files_can_be_left_unlimited(unlimited: str) -> None:
    assert read_settings(None, f"limits:\n  max_files: {unlimited}\n".encode()).limits.max_files is None


def test_all_mistakes_of_pyproject_are_told_with_their_lines() -> None:
    text = (
        '[project]\nname = "x"\nscrpt = 1\n\n[tool.other]\nscrpt = 2\n[tool.amltool]\nscrpt = "train.py"\n'
        "require_clean = 1\n"
        '"share_hash" = "maybe"\nmax_files = 3\n[tool.amltool.limits]\nmax_size = "30 XB"\nprofil = "sdk"\n'
    )

    assert mistakes_of(text) == [
        "pyproject.toml:8: unknown key 'scrpt': did you mean 'script'?",
        "pyproject.toml:9: require_clean: expected true or false, found '1'",
        "pyproject.toml:10: share_hash: expected true or false, found 'maybe'",
        "pyproject.toml:11: 'max_files' does not stand here: write limits: {max_files: ...}",
        "pyproject.toml:13: max_size: expected a size such as 25 MB, 2g or 1048576 (bytes), found '30 XB'",
        "pyproject.toml:14: unknown key 'profil': did you mean 'profile'?",
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[tool.amltool]\nx = \n", "pyproject.toml:2:5: not valid TOML: Invalid value"),
        ("[tool.amltool]\nx = " + "[" * 9000, "pyproject.toml: not valid TOML: nested too deep"),
        ("[tool.amltool]\nx = " + "[" * 60 + "]" * 60, "pyproject.toml:2: values are nested more than 40 deep"),
        ("[tool.amltool]\n" + "a." * 50 + "b = 1\n", "pyproject.toml:2: a key has more than 40 parts"),
        ("[[tool.amltool]]\nx = 1\n", "pyproject.toml: tool.amltool: expected a table"),
        ("[tool]\namltool = 3\n", "pyproject.toml: tool.amltool: expected a table"),
    ],
)
def test_a_broken_pyproject_is_a_named_mistake(text: str, mistake: str) -> None:
    assert mistakes_of(text)[0] == mistake


def test_a_pyproject_that_says_nothing_about_us_is_none_of_our_business() -> None:
    assert read_settings(b"this is [ not TOML", None) == Settings()


def test_all_mistakes_of_project_yml_are_told_at_once() -> None:
    text = "limits: 3\nartifact_store: https://x/y?sv=1&sig=c2VjcmV0\nfoo: 1\npassword: hunter2\nscript: /x\n"
    mistakes = mistakes_of(None, text)

    assert [mistake.split(" ")[0] for mistake in mistakes] == [
        "aml_config/project.yml:1:9:",
        "aml_config/project.yml:2:17:",
        "aml_config/project.yml:3:1:",
        "aml_config/project.yml:4:1:",
        "aml_config/project.yml:4:11:",
        "aml_config/project.yml:5:9:",
    ]
    assert not any("hunter2" in mistake or "c2VjcmV0" in mistake for mistake in mistakes)


def test_a_project_without_settings_pays_for_no_parser(tmp_path: Path) -> None:
    (tmp_path / "aml_config").mkdir()
    (tmp_path / "aml_config/project.yml").write_text("# script: train.py\n\n  # account: x\n")
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["amltool"]\n[tool.ruff]\nline-length = 100\n')
    code = (
        "import sys, pathlib; from amltool.project import load_project; load_project(pathlib.Path(sys.argv[1]));"
        "print(sorted({'yaml', 'tomllib', 'tomli', 'rich', 'pathspec', 'git', 'difflib', 'json'} & set(sys.modules)))"
    )
    top = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, cwd=top, check=True)

    assert done.stdout.strip() == "[]"
