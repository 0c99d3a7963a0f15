"""What a build container is told to do, and the scripts that do it."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

import amltool.environments
from amltool.containers.values import Image
from amltool.environments.base import EnvironmentRequest
from amltool.environments.base_images import Base
from amltool.environments.image import image_part
from amltool.environments.image_build import Failure
from amltool.environments.image_contents import Contents, check_spark, read_contents, write_contents
from amltool.environments.image_plan import CREATE_CONDA, Surroundings, Wanted, _plan_lines, explain, plan_of
from amltool.environments.recipe import Recipe
from amltool.environments.scripts.fits import fits
from amltool.errors import UserError
from tests.environments.image_building import docker_target

SCRIPTS = Path(amltool.environments.__file__).parent / "scripts"
CONTENTS = Contents(key="k", image="sha256:1", python="/p", lock=b"{}\xff", variables={"A": "1"}, accounts="root:x\n")


@pytest.mark.parametrize(
    ("constraint", "version"),
    [
        ("", [3, 6, 0]), ("3", [3, 12, 1]), ("3.11", [3, 11, 2]), ("=3.11", [3, 11, 2]), ("3.11.*", [3, 11, 2]),
        ("==3.11.2", [3, 11, 2]), (">=3.8,<4", [3, 11, 2]), (">= 3.8, <3.12", [3, 11, 9]), ("3.9|3.11", [3, 11, 2]),
        ("~=3.8", [3, 11, 2]), ("!=3.10", [3, 11, 2]), ("<=3.11", [3, 11, 2]), (">3.10", [3, 11, 0]),
        ("3.11.2 hab00c5b_0_cpython", [3, 11, 2]), ("3.11=h123", [3, 11, 2]),
    ],
)  # fmt: skip
def test_a_python_fits_a_version_as_conda_writes_it(constraint: str, version: list[int]) -> None:
    assert fits(version, constraint)


@pytest.mark.parametrize(
    ("constraint", "version"),
    [
        ("3.1", [3, 11, 2]), ("3.11", [3, 12, 0]), ("==3.11.2", [3, 11, 3]), (">=3.8,<3.11", [3, 11, 0]),
        ("3.9|3.10", [3, 11, 2]), ("~=3.8.1", [3, 9, 0]), ("!=3.11", [3, 11, 2]), (">3.11", [3, 11, 9]),
        ("2.7", [3, 6, 0]),
    ],
)  # fmt: skip
def test_a_python_does_not_fit_another_version(constraint: str, version: list[int]) -> None:
    assert not fits(version, constraint)


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("script", ["build.sh", "activated.sh"])
def test_the_scripts_are_shell(shell: str, script: str) -> None:
    assert subprocess.run([shell, "-n", SCRIPTS / script], check=False).returncode == 0


CONDA = """#!/bin/sh
mkdir -p "$CONDA_PKGS_DIRS/cache" {environment}/conda-meta
ls "$CONDA_PKGS_DIRS" "$CONDA_PKGS_DIRS/cache" > {top}/found
echo "what the channel has" > "$CONDA_PKGS_DIRS/cache/conda-forge.json"
echo python > "$CONDA_PKGS_DIRS/python-3.11.2"
printf '==> now <==\\n# cmd: %s\\n+python-3.11.2\\n' "$*" > {environment}/conda-meta/history
"""
"""Keeps packages and what is in a channel where micromamba does, and writes its command line down as all do."""


def create_by_conda(top: Path, name: str) -> list[str]:
    """What the script does where the base image has a conda of this name, in a new container with the volume of old;
    gives what that found in its cache."""
    environment, program = top / "environment", top / name
    program.write_text(CONDA.format(environment=environment, top=top))
    program.chmod(0o755)
    shutil.rmtree(top / "build", ignore_errors=True)
    functions = (SCRIPTS / "build.sh").read_text().replace("top=/opt/amltool", f"top={top}").removesuffix("main\n")
    recipe = Recipe(packages=("numpy",), channels=("https://ada:hunter2@conda.example.org/forge",))
    plan = "\n".join(_plan_lines(Wanted(key="k", recipe=recipe)))
    script = f"{functions}\n{plan}\nset -e\nconda={program}\ncreate_by_conda"
    subprocess.run(["sh", "-c", script], check=True)
    return (top / "found").read_text().split()


def test_builds_share_micromambas_packages_but_not_what_it_knows_of_a_channel(tmp_path: Path) -> None:
    create_by_conda(tmp_path, "micromamba")
    found = create_by_conda(tmp_path, "micromamba")
    assert "python-3.11.2" in found
    assert "conda-forge.json" not in found


def test_builds_share_nothing_of_conda(tmp_path: Path) -> None:
    create_by_conda(tmp_path, "conda")
    assert "python-3.11.2" not in create_by_conda(tmp_path, "conda")


def test_the_credentials_of_a_channel_are_not_left_in_condas_history(tmp_path: Path) -> None:
    create_by_conda(tmp_path, "micromamba")
    assert (tmp_path / "environment/conda-meta/history").read_text() == "==> now <==\n+python-3.11.2\n"


def test_text_of_the_file_is_never_run_by_the_shell(tmp_path: Path) -> None:
    names = ("numpy; touch harm", "a'b $(touch harm)", "`touch harm`")
    wanted = Wanted(key="k", recipe=Recipe(python="3; touch harm", packages=names, channels=("c; touch harm",)))
    (tmp_path / "plan.sh").write_text("\n".join(_plan_lines(wanted)))
    script = '. ./plan.sh; conda_create "$0"'
    subprocess.run(["sh", "-c", script, "echo"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.sh"]


def test_the_python_of_a_lock_is_asked_of_conda() -> None:
    lines = "\n".join(_plan_lines(Wanted(key="k", recipe=Recipe(python="3.11.2", pip=("a==1",), exact=True))))
    assert "python=3.11.2" in lines
    assert "--no-deps" in lines


def test_what_is_in_an_image_comes_back_from_its_label() -> None:
    assert read_contents(write_contents(CONTENTS), CONTENTS.image) == CONTENTS


@pytest.mark.parametrize("label", ["", "no base64!", "aGVsbG8=", write_contents(CONTENTS)[:-8]])
def test_a_damaged_label_says_nothing(label: str) -> None:
    assert read_contents(label, "sha256:1") is None


def test_spark_without_java_says_what_to_add() -> None:
    contents = Contents(key="k", image="i", python="/p", lock=b"", variables={}, accounts="", spark_submit="/s")
    with pytest.raises(UserError, match=r"no Java(.|\n)*openjdk"):
        check_spark(contents, EnvironmentRequest(read=lambda _: None, framework="PySpark"))


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ("no-python 3.9.2 3.11.2", "has 3.9.2 3.11.2"),
        ("no-python", "has no Python"),
        ("no-venv /usr/bin/python3", "cannot make virtual environments"),
        ("no-conda", "Only conda can install numpy"),
        ("old-python 2.7", "Python 2.7 is too old"),
        ("no-such-python python9", "has no python9"),
        ("no-python-installed", "the step to list failed"),
    ],
)
def test_every_problem_of_a_base_image_is_a_sentence_with_a_remedy(problem: str, said: str) -> None:
    wanted = Wanted(key="k", recipe=Recipe(python="3.12", needs_conda=("numpy",)), python_location="python9")
    error = explain(Failure("list", problem, ("last line",)), "base:1", wanted, docker_target("base:1", ""))
    assert said in str(error)
    assert error.remedy


@pytest.mark.parametrize(
    ("problem", "line", "said"),
    [
        ("", "OSError: [Errno 28] No space left on device", "The disk of Docker is full: the step to list failed"),
        ("full 9216", "returned non-zero exit status 1.", "The disk of Docker is full (9 MB are left): the step"),
    ],
)
def test_a_full_disk_is_not_told_as_a_mistake_of_the_dependency_file(problem: str, line: str, said: str) -> None:
    error = explain(
        Failure("list", problem, (line,)), "base:1", Wanted(key="k", recipe=Recipe()), docker_target("base:1", "")
    )
    assert error.what.startswith(said)
    assert line in error.what
    assert error.remedy.startswith("Make room there")


def test_a_package_of_a_lock_that_is_gone_is_not_told_as_a_mistake_of_the_dependency_file() -> None:
    locked = Wanted(key="k", recipe=Recipe(explicit=("https://conda.example.org/forge/noarch/pip-26.3-0.conda#0",)))
    loose = Wanted(key="k", recipe=Recipe(packages=("pip",)))
    failure = Failure(CREATE_CONDA, "", ("File not valid: MD5 doesn't match expectation",))
    target = docker_target("base:1", "")

    assert explain(failure, "base:1", locked, target).remedy.startswith("If a package of the lock is gone")
    assert explain(failure, "base:1", loose, target).remedy.startswith("Mend the dependency file")


def test_the_step_in_which_packages_of_a_lock_are_fetched_is_one_of_the_scripts() -> None:
    assert f'step "{CREATE_CONDA}"' in (SCRIPTS / "build.sh").read_text()


@pytest.mark.parametrize(
    ("project", "part"), [("Iris", "iris"), ("my_project.v2", "my-project-v2"), ("--", "project"), ("a..b", "a-b")]
)
def test_a_project_is_part_of_an_images_name(project: str, part: str) -> None:
    assert image_part(project) == part


def test_certificates_that_a_build_does_not_know_are_explained() -> None:
    said = ("SSLError(... CERTIFICATE_VERIFY_FAILED] certificate verify failed",)
    failure = Failure("install the pip packages", "", said)
    other = Failure("install the pip packages", "", ("No matching distribution found for nothing",))

    error = explain(failure, "base:1", Wanted(key="k", recipe=Recipe()), docker_target("base:1", ""))
    without = explain(other, "base:1", Wanted(key="k", recipe=Recipe()), docker_target("base:1", ""))

    assert "as caCertificates in the .compute, or in the variable SSL_CERT_FILE" in error.remedy
    assert without.remedy.startswith("Mend the dependency file")


def test_certificates_of_the_shell_serve_the_build_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    bundle = tmp_path / "company.pem"
    bundle.write_bytes(b"certificates")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    image = Image("sha256:1", ["base:1"], None, 1, {}, {}, "linux/amd64")
    base = Base("base:1", image)
    target = docker_target("base:1", "")

    plain = plan_of(Wanted(key="k", recipe=Recipe()), base, target, Surroundings(project="p"))
    named = plan_of(Wanted(key="k", recipe=Recipe(), certificates=b"x"), base, target, Surroundings(project="p"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing.pem"))
    none = plan_of(Wanted(key="k", recipe=Recipe()), base, target, Surroundings(project="p"))

    assert plain.variables["PIP_CERT"].startswith("/opt/amltool/build/")
    assert "PIP_CERT" not in none.variables
    assert [is_in("shell-certificates.pem", each.files) for each in (plain, named, none)] == [True, False, False]


def is_in(name: str, archive: bytes) -> bool:
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        return any(path.endswith(f"/{name}") for path in files.getnames())
