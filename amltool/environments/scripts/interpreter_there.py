"""Says what a login on this machine sees: its variables and, when asked, which interpreter is meant and its lock.

Runs as ``python3 -I -S -c "<this file>"`` with a question as JSON on standard input, so it keeps to the standard
library and to Python 3.6. The answer follows the mark of the question on standard output.
"""
# ruff: noqa: PTH100, PTH103, PTH105, PTH111, PTH116, PTH117, PTH118, PTH120, PTH123
# mypy: allow-untyped-defs, allow-untyped-calls

import hashlib
import json
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import sys
import time

LOGIN_S = 20.0
LISTING_S = 60.0
SETTLED_NS = 50000000
DEFAULT = "python"


class RefusedError(Exception):
    """There is no such interpreter, or it cannot be used: why."""


def printed(command, environment, timeout_s, mark):
    """What a program prints after a mark (others may print too), far from anybody's folder; None: it did not."""
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return None, getattr(error, "strerror", None) or str(error)
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, f"it did not answer within {timeout_s:.0f} seconds"
    _, found, answer = stdout.partition(os.fsencode(mark))
    if found:
        return answer, ""
    said = stderr.decode("utf-8", "backslashreplace").strip().splitlines()
    return None, said[-1] if said else "it printed nothing"


def login(mark):
    """The variables that the user's shell sets at a login; ours where it does not tell."""
    try:
        shell = pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh"
    except KeyError:
        shell = "/bin/sh"
    tell = "import os;os.write(1,bytes.fromhex('{}')+b'\\0'.join(k+b'='+v for k,v in os.environb.items()))"
    words = [sys.executable, "-I", "-S", "-c", tell.format(os.fsencode(mark).hex())]
    command = "exec " + " ".join(shlex.quote(word) for word in words)
    answer, _ = printed([shell, "-l", "-c", command], None, LOGIN_S, mark)
    if answer is None:
        return dict(os.environ)
    pairs = [entry.partition(b"=") for entry in answer.split(b"\0") if b"=" in entry]
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def which(name, environment):
    if name.startswith("~"):
        name = os.path.expanduser(name)
    found = shutil.which(name, path=environment.get("PATH"))
    return os.path.abspath(found) if found else None


def find(location, environment, mark):
    """The interpreter that ``pythonLocation`` means: as on the machine of the client, with this login's PATH."""
    location = location.strip() or DEFAULT
    for candidate in [location, "python3"] if location == DEFAULT else [location]:
        found = which(candidate, environment)
        if found is not None:
            try:
                return behind_shim(found, environment, mark)
            except RefusedError:
                if location != DEFAULT:
                    raise
    if location == DEFAULT:
        return sys.executable
    raise RefusedError(f"There is no interpreter '{location}' on")


def behind_shim(path, environment, mark):
    """A script that picks an interpreter is asked which."""
    try:
        with open(path, "rb") as stream:
            if stream.read(2) != b"#!":
                return path
    except OSError as error:
        raise unusable(path, error.strerror) from None
    script = f"import sys; print(); sys.stdout.write({mark!r} + sys.executable)"
    answer, why = printed([path, "-B", "-c", script], environment, LISTING_S, mark)
    if answer is None:
        raise unusable(path, why)
    found = os.fsdecode(answer.strip())
    return found if os.path.isabs(found) else path


def unusable(path, why):
    return RefusedError(f"The interpreter {path} cannot be used ({why}) on")


def stamp(path):
    try:
        return os.stat(path).st_mtime_ns
    except (OSError, ValueError):
        return None


def listed(interpreter, question, environment):
    """What the interpreter says of itself and its packages; kept until anything that decides it changes."""
    real = os.path.realpath(interpreter)
    deciding = sorted((name, environment[name]) for name in question["deciding"] if name in environment)
    key = hashlib.sha256(
        repr((interpreter, real, stamp(real), deciding, question["listing"])).encode("utf-8", "replace")
    )
    kept = os.path.join(question["cache"], "interpreters", key.hexdigest()[:32] + ".json")
    try:
        with open(kept, "rb") as stream:
            listing = json.loads(stream.read().decode("utf-8"))
        if all(stamp(path) == then for path, then in listing["stamps"].items()):
            return listing["lock"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    asked_ns = int(time.time() * 1e9)
    command = [interpreter, "-B", "-c", question["listing"]]
    answer, why = printed(command, environment, LISTING_S, question["listing_mark"])
    if answer is None:
        raise unusable(interpreter, why)
    try:
        listing = json.loads(answer.split(b"\n")[0].decode("utf-8"))
        lock, stamps = listing["lock"], listing["stamps"]
    except (ValueError, KeyError, TypeError) as error:
        raise unusable(interpreter, f"its answer cannot be read: {error}") from None
    if asked_ns - max([then or 0 for then in stamps.values()] or [0]) > SETTLED_NS:
        keep(kept, {"lock": lock, "stamps": stamps})
    return lock


def keep(path, listing):
    """A cache that cannot be written costs time, nothing else."""
    beside = f"{path}.{os.urandom(4).hex()}.tmp"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(beside, "w") as stream:
            json.dump(listing, stream)
        os.replace(beside, path)
    except OSError:
        return


def spark_submit(interpreter, location, environment):
    """The program that starts Spark: beside the interpreter unless another one is named."""
    if location == "spark-submit":
        beside = os.path.join(os.path.dirname(interpreter), location)
        if os.access(beside, os.X_OK):
            return [beside]
    found = which(location, environment)
    return [found] if found else []


def main():
    question = json.loads(sys.stdin.read())
    mark = question["mark"]
    answer = {"variables": login(mark)}
    if question.get("location") is not None:
        try:
            interpreter = find(question["location"], answer["variables"], mark)
            answer["interpreter"] = interpreter
            answer["lock"] = listed(interpreter, question, answer["variables"])
            answer["spark_submit"] = spark_submit(interpreter, question["spark_submit"], answer["variables"])
        except RefusedError as refused:
            answer["refused"] = str(refused)
    sys.stdout.write("\n" + mark + json.dumps(answer) + "\n")


main()
