"""Mutated configuration files: whatever a file holds, a reader gives a value or names the file and the fault.

``make fuzz`` runs 10,000 a kind; a small sample is in the ordinary tests.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from amltool.configuration.compute import read_compute, write_compute
from amltool.configuration.dependencies import read_conda_dependencies, read_spark_dependencies
from amltool.configuration.runconfig import dependency_paths, read_run_configuration, write_run_configuration
from amltool.configuration.settings import read_settings
from amltool.errors import ConfigurationError

MAX_SECONDS = 2.0
MAX_MEMORY_MB = 200
MAX_LENGTH = 100_000


def _compute(content: bytes) -> None:
    target = read_compute("fuzzed", content, "aml_config/fuzzed.compute")
    again = read_compute("fuzzed", write_compute(target).encode(), "aml_config/fuzzed.compute")
    assert again == target, f"read, written and read again it is another: {target} {again}"


def _run_configuration(content: bytes) -> None:
    configuration = read_run_configuration("fuzzed", content, "aml_config/fuzzed.runconfig")
    written = write_run_configuration(configuration).encode()
    again = read_run_configuration("fuzzed", written, "aml_config/fuzzed.runconfig")
    assert again == configuration, f"read, written and read again it is another: {configuration} {again}"
    assert dependency_paths(configuration.content) == configuration.dependency_files


def _conda(content: bytes) -> None:
    found = read_conda_dependencies(content, "aml_config/conda_dependencies.yml")
    assert len(found.needs_conda) <= len(found.packages)
    assert found.python_version != ""


def _spark(content: bytes) -> None:
    assert all(read_spark_dependencies(content, "aml_config/spark_dependencies.yml").spark_submit_options())


READERS: dict[str, Callable[[bytes], None]] = {
    ".compute": _compute,
    ".runconfig": _run_configuration,
    "conda_dependencies.yml": _conda,
    "spark_dependencies.yml": _spark,
    "project.yml": lambda content: assert_settled(None, content),
    "pyproject.toml": lambda content: assert_settled(content, None),
}

SEEDS: dict[str, tuple[bytes, ...]] = {
    ".compute": (
        b"""\
address: gpu.example.org:2222
baseDockerImage: python:3.11
nativeSharedDirectory: ~/.azureml/share/
password: ${keyring:amltool/ada}
sharedVolumes: true
type: remotedocker
username: ada
gpu: device=0,1
shmSize: 4g
cpus: 1.5
volumes:
- /data:/data
pip:
  indexUrl: https://example.org/simple
buildArguments: {A: 1}
environmentVariables:
  B: ${env:B}
""",
        b"""\
{
\t"address": "spark-ssh.azurehdinsight.net",
\t"username": "sshuser",
\t"cluster": true,
\t"password": "AzureMlSecret=c0ffee"
}
""",
        b"""\
# where\r
type: "local"\r
pythonLocation: 'python'\r
userManagedEnvironment: false\r
""",
    ),
    ".runconfig": (
        b"""\
ArgumentVector:
- $file
- 0.10
- 'two words'
CondaDependenciesFile: aml_config/conda_dependencies.yml
EnvironmentVariables:
  A: 1
  B: ${env:B}
Framework: PySpark
PrepareEnvironment: false
SparkDependenciesFile: Config\\spark.yml
Target: docker
TrackedRun: true
UseSampling: true
DataSourceSettings:
  x.dsource:
    Sampling: {Sample: ten}
MaxRunDurationSeconds: 3600
""",
        b"""\
{"ArgumentVector": ["$file"], "Target": "local", "EnvironmentVariables": null, "CondaFile": null}\
""",
        b"""\
script: train.py
arguments: [--rate, 0.1]
target: local
framework: Python
environment:
  environmentVariables: {A: B}
  python:
    condaDependenciesFile: aml_config/c.yml
  docker:
    enabled: true
    baseImageRegistry: {address: , password: }
  spark: {repositories: [x]}
history: {outputCollection: true}
spark: {configuration: {a: 1}}
""",
    ),
    "conda_dependencies.yml": (
        b"""\
name: project_environment
channels: [conda-forge]
dependencies:
  - python=3.11
  - numpy >=1.2,<2
  - pip:
    - scikit-learn==1.5
    - https://example.org/a.whl
""",
    ),
    "spark_dependencies.yml": (
        b"""\
configuration:
  "spark.app.name": "An experiment"
  spark.yarn.maxAppAttempts: 1
repositories:
- "https://example.org/maven"
packages:
- group: "org.example"
  artifact: "a_2.11"
  version: "0.9"
""",
    ),
    "project.yml": (
        b"""\
account: ada
script: train.py
limits:
  max_size: 1 GB
  max_files: null
  profile: sdk
secrets_allow: [a]
max_artifact_size: 512 MB
keep_run_folders: 3
require_clean: true
""",
    ),
    "pyproject.toml": (
        b"""\
[project]
name = "x"
[tool.amltool]
script = "train.py"
keep_run_folders = 3
secrets_allow = ["a"]
[tool.amltool.limits]
max_size = "1 GB"
profile = "workbench"
""",
    ),
}

TOKENS = (
    *rb"""true. *a [ ] { } ' " \ "\ud83d" "\0" #
    , % -1e9999 .inf .nan 0x1f 1:30 2018-01-01 ~ null ${env: ${keyring:a} @
    """.split(),
    b"<<<<<<< HEAD\n",
    b"=======\n",
    b">>>>>>> other\n",
    b"\t",
    b"\n\t",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x00",
    b"\xff",
    b"&a ",
    b"&a [*a]",
    b"<<: *a\n",
    b"---\n",
    b"...\n",
    b"!!python/object:os.system ",
    b"!!binary ",
    b"!x ",
    b"- ",
    b": ",
    b"? ",
    b"| \n",
    b">-\n",
    b"9" * 400,
    b"[" * 300,
    b"{a: " * 300,
    b"- " * 300,
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\xe2\x84\xaa",
    b"\r",
    b"x" * 5000,
    b"password: hunter2\n",
)


@dataclass(frozen=True)
class Outcome:
    """What many files of one kind came to: seconds of the slowest, files that were refused, what went wrong."""

    kind: str
    files: int
    refused: int
    slowest: float
    faults: tuple[str, ...]


def assert_settled(pyproject: bytes | None, project_file: bytes | None) -> None:
    settings = read_settings(pyproject, project_file)
    assert settings.max_artifact_size > 0
    assert settings.limits.max_size > 0


def mutations(kind: str, count: int, seed: int) -> Iterator[bytes]:
    """``count`` files made from the kind's seeds; the same for the same ``seed``."""
    chance = random.Random(f"{kind} {seed}")
    everything = [each for seeds in SEEDS.values() for each in seeds]
    for _ in range(count):
        content = chance.choice(SEEDS[kind])
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            content = _mutate(content, chance, everything)[:MAX_LENGTH]
        yield content


def bombs() -> list[bytes]:
    """Files made to cost as much time or memory as they can."""
    unfolding = [b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    unfolding += [b"a%d: &a%d [%s]" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 12)]
    deepening = [b"b0: &b0 " + b"[" * 38 + b"]" * 38]
    deepening += [b"b%d: &b%d " % (i, i) + b"[" * 38 + b"*b%d" % (i - 1) + b"]" * 38 for i in range(1, 200)]
    units = rb"""[ { ' " 'a' a # [a, {a:""".split()
    units += [
        b"{a: ",
        b"- ",
        b"? ",
        b"a: ",
        b"&a ",
        b" ",
        b"\n",
        b"a: 1\n",
        b"- a\n",
        b"| \n",
        b"!a ",
        b"\t",
        b"a\n",
        b"*a ",
    ]
    settings = b"[tool.amltool]\n"
    return [
        *(
            unit * (1_000_000 // len(unit))
            for unit in (b"[", b"{", b"{a: ", b"- ", b"? ", b"a: ", b"&a ", b"#", b" ", b"\n")
        ),
        *(
            unit * (1_000_000 // len(unit))
            for unit in (b"a: 1\n", b"- a\n", b"'", b'"', b"'a' ", b"| \n", b"!a ", b"\t", b"a")
        ),
        b"".join(b"key%d: 1\n" % i for i in range(80_000)),
        b"".join(b"tpye%d: 1\n" % i for i in range(15_000)),
        b"".join(b"%d\xf0\x9f\x98\x80\xc2\x85: 1\n" % i for i in range(15_000)),
        b'a: "' + b"\\n" * 500_000 + b'"',
        b"\n".join(unfolding),
        b"\n".join(deepening),
        b"<<<<<<< a\n" * 100_000,
        settings + b"x = " + b"[" * 900_000,
        settings + b"a." * 20_000 + b"b = 1",
        settings + b"".join(b"k%d = 1\n" % i for i in range(20_000)),
        settings + (b"a." * 40 + b"b = 1\n") * 10_000,
        settings + b"x = 1" + b"0" * 4_000,
        settings + b"x = 0x" + b"f" * 900_000,
        settings + b"limits = { " + b"profile = 1, " * 50_000,
    ]


def _mutate(content: bytes, chance: random.Random, everything: list[bytes]) -> bytes:
    at, to = sorted(chance.randint(0, len(content)) for _ in range(2))
    lines = content.splitlines(keepends=True) or [b""]
    line = chance.randrange(len(lines))
    match chance.randrange(8):
        case 0:
            return content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]
        case 1:
            return content[:at] + content[min(to, at + 12) :]
        case 2:
            return content[:at] + content[at:to] * chance.choice((2, 3, 50)) + content[to:]
        case 3:
            return b"".join([*lines[:line], *lines[line + 1 :]])
        case 4:
            return b"".join([*lines[:line], chance.choice(lines), *lines[line:]])
        case 5:
            other = chance.choice(everything)
            return content[:at] + other[chance.randrange(len(other)) :]
        case _:
            return content[:at] + chance.choice(TOKENS) + content[at:]


def fuzz(kind: str, count: int, seed: int = 0) -> Outcome:
    """Read mutated files of one kind; a fault is a traceback, a message without its file, or a file that takes long."""
    return read_all(kind, mutations(kind, count, seed))


def read_all(kind: str, contents: Iterable[bytes]) -> Outcome:
    """Read files of one kind, timing each by the processor: what else the machine does is no fault of a reader."""
    count, refused, slowest, faults = 0, 0, 0.0, []
    for content in contents:
        count += 1
        started = time.process_time()
        try:
            READERS[kind](content)
        except ConfigurationError as error:
            refused += 1
            if not error.mistakes or not all(mistake.path and mistake.message for mistake in error.mistakes):
                faults.append(f"a message without file or fault: {error}")
            if b"hunter2" in content and "hunter2" in str(error):
                faults.append(f"a password is repeated: {error}")
        except Exception as error:
            faults.append(f"{error!r} for {content[:300]!r}")
        took = time.process_time() - started
        slowest = max(slowest, took)
        if took > MAX_SECONDS:
            faults.append(f"{took:.1f} s for {content[:300]!r}")
    return Outcome(kind, count, refused, slowest, tuple(faults))


def peak_memory_mb() -> float:
    """The most memory this program had, interpreter included; ``ru_maxrss`` alone would count what started us."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="files of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=READERS, action="append", help="only this kind (default: all)")
    chosen = parser.parse_args()
    faults = 0
    for kind in chosen.kind or READERS:
        outcome = read_all(kind, [*mutations(kind, chosen.count, chosen.seed), *bombs()])
        faults += len(outcome.faults)
        sys.stdout.write(
            f"{kind:24} {outcome.files:6} files  {outcome.refused:6} refused  slowest {outcome.slowest * 1000:7.1f} ms"
            f"  {len(outcome.faults)} faults\n"
        )
        for fault in outcome.faults[:5]:
            sys.stdout.write(f"  {fault}\n")
    memory = peak_memory_mb()
    sys.stdout.write(f"peak memory {memory:.0f} MB (at most {MAX_MEMORY_MB})\n")
    return 1 if faults or memory > MAX_MEMORY_MB else 0


if __name__ == "__main__":
    sys.exit(main())
