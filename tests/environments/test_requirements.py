"""The pip part of a conda file: everything it names travels in the recipe, or is refused with what to do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from amltool.environments.requirements import read_requirements
from amltool.errors import UserError

CONDA_FILE = "aml_config/conda_dependencies.yml"
WHEEL = "mine-1.0-py3-none-any.whl"


def read(*lines: str, **files: bytes):
    given_files = {path.replace("__", "/").replace("_txt", ".txt"): content for path, content in files.items()}
    return read_requirements(lines, CONDA_FILE, {**given_files, f"aml_config/{WHEEL}": b"wheel"}.get)


class TestTaken:
    @pytest.mark.parametrize(
        "line",
        [
            "numpy>=1.2,<2",
            "numpy[extra]~=1.2 ; python_version > '3.8'",
            "six @ https://example.org/six-1.16-py2.py3-none-any.whl",
            "git+https://example.org/x.git@abc#egg=x",
            "https://example.org/archive.tar.gz",
        ],
    )
    def test_requirements_stay_as_they_are(self, line):
        assert read(line).lines == (line,)

    @pytest.mark.parametrize(
        "line", ["--index-url https://example.org/simple", "--pre", "-f https://example.org/links"]
    )
    def test_options_are_kept_apart(self, line):
        found = read(line, "six")
        assert (found.options, found.lines) == ((line,), ("six",))

    @pytest.mark.parametrize(
        "option", ["-r more.txt", "-rmore.txt", "--requirement more.txt", "--requirement=more.txt"]
    )
    def test_a_requirements_file_is_read_in(self, option):
        assert read(option, aml_config__more_txt=b"\xef\xbb\xbf# c\nsix \\\n  ==1.16  # why\n\nattrs\n").lines == (
            "six ==1.16",
            "attrs",
        )

    def test_files_that_it_names_begin_at_its_own_folder(self):
        found = read("-r ../sub/more.txt", sub__more_txt=b"-r deeper.txt\n-c limits.txt\n", sub__deeper_txt=b"six",
                     sub__limits_txt=b"six<2\n")  # fmt: skip
        assert (found.lines, found.constraints) == (("six",), ("six<2",))

    def test_files_that_name_each_other_come_to_an_end(self):
        found = read("-r a.txt", aml_config__a_txt=b"one\n-r b.txt", aml_config__b_txt=b"two\n-r a.txt")
        assert found.lines == ("one", "two")

    def test_a_wheel_begins_at_the_folder_of_the_conda_file_and_travels_along(self):
        found = read(f"./{WHEEL}[more] ; python_version > '3'")
        assert found.lines == (f"./aml_config/{WHEEL}[more] ; python_version > '3'",)
        assert found.files == {f"aml_config/{WHEEL}": b"wheel"}


class TestRefused:
    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ("-e .", "editable"),
            ("--editable=../src", "editable"),
            (".", "no wheel or source archive"),
            ("./folder", "no wheel or source archive"),
            ("gone-1.0-py3-none-any.whl", "no wheel or source archive"),
            ("../../outside/x.whl", "outside of the project"),
            ("/tmp/x.whl", "outside of the project"),
            ("-r gone.txt", "no file of the snapshot"),
            ("-r ../../gone.txt", "outside of the project"),
            ("-r https://example.org/more.txt", "not in the snapshot"),
            ("-f wheels", "folder of the project"),
        ],
    )
    def test_what_no_recipe_can_hold_says_why_and_what_to_do(self, line, why):
        with pytest.raises(UserError, match=why) as error:
            read(line)
        assert error.value.what.startswith(f"{CONDA_FILE}: ")
        assert error.value.remedy

    def test_the_message_names_the_file_and_hides_credentials(self):
        with pytest.raises(UserError) as error:
            read("-r a.txt", aml_config__a_txt=b"-r https://ada:hunter22@example.org/b.txt")
        assert "aml_config/a.txt" in str(error.value)
        assert "hunter22" not in str(error.value)

    def test_a_file_that_is_no_text_is_told(self):
        with pytest.raises(UserError, match="UTF-8"):
            read("-r a.txt", aml_config__a_txt=b"\xff\xfe\x00")


@settings(max_examples=100, deadline=None)
@given(some.lists(some.text(some.characters(codec="utf-8"), max_size=30), max_size=5))
def test_no_text_gives_anything_but_requirements_or_a_clear_error(lines):
    try:
        found = read_requirements(lines, CONDA_FILE, {}.get)
    except UserError:
        return
    assert not any("\n" in line for line in (*found.lines, *found.options, *found.constraints))


def test_a_wheel_that_is_not_beside_the_conda_file_is_looked_for_from_the_project() -> None:
    files = {f"wheels/{WHEEL}": b"of the project"}
    found = read_requirements([f"./wheels/{WHEEL}"], "aml_config/conda_dependencies.yml", files.get)
    assert found.lines == (f"./wheels/{WHEEL}",)
    assert found.files == files


def test_the_wheel_beside_the_conda_file_comes_first() -> None:
    files = {f"wheels/{WHEEL}": b"of the project", f"aml_config/wheels/{WHEEL}": b"beside"}
    found = read_requirements([f"./wheels/{WHEEL}"], "aml_config/conda_dependencies.yml", files.get)
    assert found.files == {f"aml_config/wheels/{WHEEL}": b"beside"}


def test_a_wheel_that_is_nowhere_is_said_with_where_it_was_looked_for() -> None:
    with pytest.raises(UserError) as refused:
        read_requirements([f"./wheels/{WHEEL}"], "aml_config/conda_dependencies.yml", {}.get)
    assert f"no such file aml_config/wheels/{WHEEL} nor wheels/{WHEEL}" in refused.value.what
    assert "Commit it there, or correct the path" in refused.value.remedy


class TestLinesOfRealFiles:
    """What conda, pip and users wrote in environment files."""

    @pytest.mark.parametrize(
        "line", ["-r file:more.txt", "-r 'more.txt'", '--requirement="more.txt"', "-r file:./more.txt"]
    )
    def test_a_requirements_file_may_be_named_as_conda_and_shells_do(self, line):
        assert read(line, aml_config__more_txt=b"six==1.16.0").lines == ("six==1.16.0",)

    @pytest.mark.parametrize(
        ("line", "remedy"),
        [
            ("-e git+https://h/x.git@0123456789012345678901234567890123456789#egg=x", "without -e, it is pinned"),
            ("-e git+https://h/x.git@master#egg=x", "pin it to a commit"),
            ("-e ./x", "Make a wheel"),
            ("-r file:///etc/passwd", "Commit that file"),
            ("numpy @ file:///croot/numpy_123/work", "numpy==VERSION"),
            ("numpy[extra] @ file:///croot/numpy_123/work ; python_version > '3'", "numpy==VERSION"),
            ("file:///croot/numpy.whl", "ommit a wheel"),
            ("--find-links ./wheels", "one by one"),
        ],
    )
    def test_what_is_refused_names_its_line_and_what_helps(self, line, remedy):
        with pytest.raises(UserError) as caught:
            read(line)
        assert line.split()[0] in caught.value.what
        assert remedy in caught.value.remedy

    @pytest.mark.parametrize("line", [f"mine @ file:{WHEEL}", f"file:{WHEEL}", f"mine[x] @ file:./{WHEEL}"])
    def test_a_file_url_of_the_project_travels_along(self, line):
        found = read(line)
        assert found.files == {f"aml_config/{WHEEL}": b"wheel"}
        assert found.lines == (f"./aml_config/{WHEEL}{'[x]' if '[x]' in line else ''}",)


NAMES = some.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)
TAILS = some.sampled_from(
    ["", "==1.0", ">=1,<2", "[x]==1", " ; python_version > '3'", " --hash=sha256:" + "0" * 64, "  # why"]
)
PREFIXES = some.sampled_from(
    ["", "-e ", "-r ", "-c ", "-r file:", "-f ", "--find-links=", "-i https://h/", "--extra-index-url https://h/",
     "--pre ", "git+https://h/", "https://h/", "./", "file:", "x @ file:", "x @ file:///",
     "--no-binary ", "--hash=sha256:"]
)  # fmt: skip


@given(prefix=PREFIXES, name=NAMES, tail=TAILS)
@settings(deadline=None, max_examples=200)
def test_no_line_is_dropped_without_a_word(prefix, name, tail):
    line = f"{prefix}{name}{tail}"
    try:
        found = read_requirements([line], CONDA_FILE, {f"aml_config/{name}": b"fromfile==1"}.get)
    except UserError as error:
        told = error.what if error.remedy else ""
    else:
        told = " ".join([*found.lines, *found.options, *found.constraints])
    assert name in told or "fromfile==1" in told
