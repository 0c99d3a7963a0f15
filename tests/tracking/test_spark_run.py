"""A stand-in for spark-submit loses all that the real one loses; tests/components runs the real one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import amltool.tracking
from tests.tracking.run_folder import python_of

SPARK_RUN = Path(amltool.tracking.__file__).with_name("spark_run.py")
SPARK_SUBMIT = f"""#!{sys.executable} -S
import json, os, signal, subprocess, sys
with open("submitted.json", "w") as stream:
    json.dump([sys.argv[1:], os.environ.get("SPARK_HOME")], stream)
if "--fail" in sys.argv:
    sys.exit(71)
driver = subprocess.Popen(
    [os.environ["PYSPARK_DRIVER_PYTHON"], "-S", sys.argv[-1]],
    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)
if "--die" in sys.argv:
    while not os.path.exists("started"):
        pass
    os.kill(os.getpid(), signal.SIGKILL)
code = driver.wait()
sys.exit(code if code >= 0 else 128 - code)
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def command(*arguments: str, options: tuple[str, ...] = (), python: str = sys.executable) -> list[str]:
    return [python, "-S", str(SPARK_RUN), "./spark-submit", *options, "--", "script.py", *arguments]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder, temporary, java = tmp_path / "a work folder", tmp_path / "temporary", tmp_path / "java"
    for made in (folder, temporary, java / "bin"):
        made.mkdir(parents=True)
    (folder / "spark-submit").write_text(SPARK_SUBMIT)
    (folder / "spark-submit").chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("JAVA_HOME", str(java))
    monkeypatch.setenv("PYSPARK_DRIVER_PYTHON", sys.executable)
    monkeypatch.delenv("SPARK_HOME", raising=False)
    return folder


@pytest.fixture
def run(work: Path) -> Run:
    def ran(
        script: str, *arguments: str, options: tuple[str, ...] = (), **more: str
    ) -> subprocess.CompletedProcess[str]:
        (work / "script.py").write_text(script)
        return subprocess.run(
            command(*arguments, options=options),
            cwd=work, env={**os.environ, **more}, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    return ran


@pytest.mark.parametrize("code", [0, 1, 2, 126, 127, 128, 130, 137, 143, 255])
def test_the_exit_code_is_the_scripts(run: Run, code: int) -> None:
    assert run(f"import os; os._exit({code})").returncode == code


@pytest.mark.torture
def test_every_exit_code_is_the_scripts(run: Run) -> None:
    assert [run(f"raise SystemExit({code})").returncode for code in range(256)] == list(range(256))


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT", "SIGSEGV", "SIGABRT", "SIGUSR1", "SIGHUP"])
def test_a_signal_that_ends_the_script_ends_the_run(run: Run, name: str) -> None:
    ended = run(f"import os, signal; signal.signal(2, signal.SIG_DFL); os.kill(os.getpid(), signal.{name})")
    assert ended.returncode == -getattr(signal, name)


def test_a_script_that_kills_its_process_group_kills_only_itself(run: Run) -> None:
    assert run("import os, signal; os.kill(0, signal.SIGTERM)").returncode == -signal.SIGTERM


def test_arguments_arrive_exactly(run: Run) -> None:
    given = ["", "a b", "x\r\ny", 'it\'s "so"', "é☃", "--conf", "--", os.fsdecode(b"\xff\xfe"), "\\$HOME"]
    ended = run("import json, sys; json.dump(sys.argv, sys.stdout)", *given, LC_ALL="C", PYTHONCOERCECLOCALE="0")
    assert json.loads(ended.stdout) == ["script.py", *given]


def test_options_and_our_own_program_are_what_spark_gets(run: Run, work: Path) -> None:
    run("", "an argument", options=("--conf", "a=b c"))
    submitted, _ = json.loads((work / "submitted.json").read_text())
    assert submitted == ["--conf", "a=b c", str(SPARK_RUN)]


def test_executors_of_a_standalone_master_get_the_projects_modules(run: Run, work: Path) -> None:
    run("", options=("--conf", "spark.master=spark://127.0.0.1:7077"))
    (_, modules, *options), _ = json.loads((work / "submitted.json").read_text())
    assert re.fullmatch(r"spark\.submit\.pyFiles=\S+/amltool-project\.zip,\S+/amltool-tracking\.zip", modules)
    assert options == ["--conf", "spark.master=spark://127.0.0.1:7077", str(SPARK_RUN)]


def test_the_script_prints_to_the_run_and_not_through_the_jvm(run: Run) -> None:
    ended = run("import sys; print('x' * 1_000_000); print('the end'); print('an error', file=sys.stderr)")
    assert ended.stdout.endswith("the end\n")
    assert len(ended.stdout) == 1_000_001 + len("the end\n")
    assert ended.stderr == "an error\n"


def test_standard_input_ends(work: Path) -> None:
    (work / "script.py").write_text("import sys; print(repr(sys.stdin.read()))")
    ended = subprocess.run(command(), cwd=work, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
    assert ended.stdout == b"''\n"


def test_the_script_is_run_as_python_runs_it(run: Run, work: Path) -> None:
    (work / "beside.py").write_text("x = 5")
    ended = run(
        "import beside, os, sys, json\n"
        "left = [n for n in os.environ if 'AMLTOOL_SPARK' in n]\n"
        "print(json.dumps([__name__, __file__, sys.path[0], os.getcwd()] + left))"
    )
    assert json.loads(ended.stdout) == ["__main__", str(work / "script.py"), str(work), str(work)]


def test_where_spark_does_not_come_to_the_script_its_own_exit_code_counts(run: Run) -> None:
    assert run("", options=("--fail",)).returncode == 71


def test_a_killed_jvm_is_how_the_run_ended(run: Run) -> None:
    script = "import os, time; parent = os.getppid(); open('started', 'w').close(); time.sleep(1)"
    assert run(script, options=("--die",)).returncode == -signal.SIGKILL


def test_a_script_that_handles_sigterm_decides(work: Path) -> None:
    (work / "script.py").write_text(
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
        "open('part', 'w').write(str(os.getpid()))\n"
        "os.rename('part', 'started')\n"
        "time.sleep(60)\n"
    )
    started = subprocess.Popen(command(), cwd=work, start_new_session=True)
    while not (work / "started").exists():
        time.sleep(0.01)
    started.terminate()
    time.sleep(0.2)
    assert started.poll() is None  # it waits for the script, which is asked as well
    os.kill(int((work / "started").read_text()), signal.SIGTERM)
    assert started.wait(120) == 9


@pytest.mark.parametrize("version", ["3.6", "3.8", "3.13"])
def test_pythons_of_every_age_can_do_it(work: Path, version: str) -> None:
    python = python_of(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    (work / "script.py").write_text(
        "import os, sys; print(sys.argv[1], *sys.version_info[:2], flush=True); os.kill(os.getpid(), 15)"
    )
    ended = subprocess.run(
        command("a b", python=python), cwd=work, env={**os.environ, "PYSPARK_DRIVER_PYTHON": python},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (-signal.SIGTERM, f"a b {version.replace('.', ' ')}\n"), ended.stderr


def test_nothing_is_left_behind(run: Run, work: Path) -> None:
    run("")
    run("import os; os.kill(os.getpid(), 9)")
    assert list((work.parent / "temporary").iterdir()) == []


def test_a_long_temporary_folder_is_no_hindrance(run: Run, tmp_path: Path) -> None:
    long = tmp_path / ("long" * 40)
    long.mkdir()
    assert run("raise SystemExit(5)", TMPDIR=str(long)).returncode == 5


def test_no_java_is_said_with_what_to_install(run: Run) -> None:
    ended = run("", JAVA_HOME="", PATH="/nowhere")
    assert ended.returncode == 127
    assert ended.stderr.startswith("amltool: Spark needs Java, and there is none on the PATH.\nInstall a Java runtime")


def test_a_spark_submit_that_is_not_there_is_said(run: Run, work: Path) -> None:
    (work / "spark-submit").unlink()
    ended = run("")
    assert (ended.returncode, ended.stderr) == (
        127,
        "amltool: cannot start './spark-submit': No such file or directory\n",
    )


@pytest.mark.parametrize("words", [[], ["spark-submit"], ["spark-submit", "--"], ["--", "script.py"]])
def test_a_wrong_call_is_told_the_right_one(words: list[str]) -> None:
    ended = subprocess.run([sys.executable, "-S", str(SPARK_RUN), *words], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr[:12]) == (2, "spark_run.py")


def test_the_spark_of_a_pyspark_package_is_found_whatever_blanks_its_path_has(run: Run, work: Path) -> None:
    package = work / "packages" / "pyspark"
    (package / "jars").mkdir(parents=True)
    (package / "__init__.py").touch()
    (work / "find_spark_home.py").touch()
    run("", PYTHONPATH=str(package.parent))
    assert json.loads((work / "submitted.json").read_text())[1] == str(package)


def test_a_spark_that_the_user_names_is_kept(run: Run, work: Path) -> None:
    (work / "find_spark_home.py").touch()
    run("", SPARK_HOME="/opt/spark")
    assert json.loads((work / "submitted.json").read_text())[1] == "/opt/spark"


PRIVATE = {"spark.a": " l\\n=:#! \n\té\U0001f600", "spark.b:c": "canary", "spark.master": "mine"}
SHOW_PROPERTIES = """
import json, os, sys
path = sys.argv[sys.argv.index("--properties-file") + 1]
with open("properties.json", "w") as stream:
    json.dump([open(path).read(), os.stat(path).st_mode & 0o777, "AMLTOOL_SPARK_PROPERTIES" in os.environ], stream)
"""


def of_java(text: str) -> dict[str, str]:
    """What Java's Properties would make of a file (its class documentation), as far as ours and Spark's go."""
    found = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip()[0] in "#!":
            continue
        parts: list[str] = [""]
        for token in re.findall(r"\\u[0-9a-f]{4}|\\.|.", line.lstrip()):
            if token.startswith("\\u"):
                parts[-1] += chr(int(token[2:], 16))
            elif token.startswith("\\"):
                parts[-1] += {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}.get(token[1], token[1])
            elif token in "=: " and len(parts) == 1:
                parts.append("")
            else:
                parts[-1] += token
        found[parts[0]] = parts[1].encode("utf-16", "surrogatepass").decode("utf-16")
    return found


def test_private_properties_are_in_a_file_of_this_user_only(run: Run, work: Path) -> None:
    (work / "spark-submit").write_text(
        SPARK_SUBMIT.replace("import json, os, signal", SHOW_PROPERTIES + "import signal")
    )
    conf = work / "conf"
    conf.mkdir()
    (conf / "spark-defaults.conf").write_text("spark.master local[3]\n# of the cluster\nspark.kept yes")
    variables = {"AMLTOOL_SPARK_PROPERTIES": json.dumps(PRIVATE), "SPARK_CONF_DIR": str(conf)}
    done = run("import os; raise SystemExit('AMLTOOL_SPARK_PROPERTIES' in os.environ)", **variables)
    assert done.returncode == 0, done.stderr
    content, mode, is_seen = json.loads((work / "properties.json").read_text())
    assert mode == 0o600
    assert not is_seen
    assert "canary" not in (work / "submitted.json").read_text()
    assert of_java(content) == {"spark.kept": "yes", **PRIVATE}


def test_the_defaults_are_those_of_a_spark_submit_that_knows_its_settings_by_itself(run: Run, work: Path) -> None:
    says = """
if sys.argv[1:] == ["--version"]:
    print("Spark Command: /usr/bin/java -cp own/conf/:/opt/spark/jars/* -Xmx1g org.apache.spark.deploy.SparkSubmit")
    sys.exit()
"""
    (work / "spark-submit").write_text(
        SPARK_SUBMIT.replace(
            "import json, os, signal", "import json, os, sys" + says + SHOW_PROPERTIES + "import signal"
        )
    )
    (work / "own/conf").mkdir(parents=True)
    (work / "own/conf/spark-defaults.conf").write_text("spark.driver.memory 512m\n")
    done = run("pass", AMLTOOL_SPARK_PROPERTIES='{"spark.x": "1"}', SPARK_CONF_DIR="")
    assert done.returncode == 0, done.stderr
    content = json.loads((work / "properties.json").read_text())[0]
    assert of_java(content) == {"spark.driver.memory": "512m", "spark.x": "1"}


def test_a_file_of_private_properties_is_gone_afterwards(run: Run, work: Path) -> None:
    assert run("pass", options=("--fail",), AMLTOOL_SPARK_PROPERTIES='{"spark.x": "canary"}').returncode == 71
    path = Path(json.loads((work / "submitted.json").read_text())[0][1])
    assert path.name == "private.conf"
    assert not path.parent.exists()


def test_a_script_that_goes_on_has_no_file_of_private_properties_beside_it(run: Run) -> None:
    look = """if True:
        import json, os
        path = json.load(open("submitted.json"))[0][1]
        print(os.listdir(os.path.dirname(path)))
    """
    done = run(look, AMLTOOL_SPARK_PROPERTIES='{"spark.x": "canary"}')
    assert done.stdout == "['s']\n"


def test_a_file_of_the_snapshot_is_not_taken_for_the_defaults_of_spark(run: Run, work: Path) -> None:
    (work / "spark-submit").write_text(
        SPARK_SUBMIT.replace("import json, os, signal", SHOW_PROPERTIES + "import signal")
    )
    (work / "spark-defaults.conf").write_text("spark.master elsewhere\n")
    assert run("pass", AMLTOOL_SPARK_PROPERTIES='{"spark.x": "1"}', SPARK_CONF_DIR="").returncode == 0
    assert of_java(json.loads((work / "properties.json").read_text())[0]) == {"spark.x": "1"}


def test_without_private_properties_spark_reads_its_own_file(run: Run, work: Path) -> None:
    assert run("pass").returncode == 0
    assert "--properties-file" not in (work / "submitted.json").read_text()
