"""Runs a Python script through ``spark-submit`` so that nothing of it is lost on the way; standard library, Python 3.6.

    python spark_run.py SPARK_SUBMIT [OPTION …] -- SCRIPT [ARGUMENT …]

Spark's own way to a script loses things: what ends a script by a signal becomes an exit code (137 for both SIGKILL
and ``sys.exit(137)``), arguments lose their carriage returns and, in the C locale, all that is not ASCII; standard
input never ends, and the last of the output can be lost when the JVM is faster. So this file is what ``spark-submit``
runs, as the driver's program: there it asks over a socket for the script's command and the streams of the run, starts
the script as a child of its own, and says how that ended. The process that was started first ends the same way.

Where the JVM is killed, that is how the run ended, whatever the script says about its lost connection.
"""

import array
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, NoReturn, Optional, Tuple

if not __package__:  # run by its path, as the bootstrap: our modules must not shadow the user's
    package = type(sys)("amltool_bootstrap")
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules["amltool_bootstrap"] = package
    __package__ = "amltool_bootstrap"
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) not in package.__path__]

from .ending import end_by  # noqa: E402

ADDRESS_VARIABLE = "AMLTOOL_SPARK_SOCKET"
FOLDER_VARIABLE = "AMLTOOL_SPARK_FOLDER"
"""The run's folder on the default file system of a cluster, below its user's home folder; only on a cluster."""
PROPERTIES_VARIABLE = "AMLTOOL_SPARK_PROPERTIES"
"""JSON: properties that the command line of ``spark-submit`` must not show (targets/command.py writes it)."""
FETCHED = "fetched"
"""Made in the run's folder ``cluster`` when what Spark wrote to the cluster's file system is here."""
VERSION = "spark-version"
"""Beside it: the version of the cluster's Spark."""
DEFAULTS = "spark-defaults.conf"
PRIVATE = "private.conf"
_CLASS_PATH = re.compile(rb"Spark Command: .*? -cp ([^:\s]+)")
END_OF_OPTIONS = "--"
USAGE = "spark_run.py SPARK_SUBMIT [OPTION ...] -- SCRIPT [ARGUMENT ...]\n"
NOT_FOUND, NOT_STARTED = 127, 126
"""A shell's exit codes for a command that is not there and for one that cannot be started."""
LONGEST_ADDRESS = 90
"""A socket's path may have 104 bytes on macOS, 108 on Linux."""
ASKED_TO_END = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Sent to all processes of a run when it is canceled: the script decides, and we end as it does."""
CHUNK = 1 << 16
STREAMS = (0, 1, 2)


def main(arguments: "List[str]") -> int:
    """The command line; does not return where the script ended by a signal."""
    address = os.environ.pop(ADDRESS_VARIABLE, None)
    if address is not None and not arguments:
        return _drive(address)
    end = arguments.index(END_OF_OPTIONS) if END_OF_OPTIONS in arguments else 0
    if not 0 < end < len(arguments) - 1:
        sys.stderr.write(USAGE)
        return 2
    if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        sys.stderr.write(
            "amltool: Spark needs Java, and there is none on the PATH.\n"
            "Install a Java runtime (in Debian: openjdk-17-jre-headless), or set JAVA_HOME to one.\n"
        )
        return NOT_FOUND
    status = submit(arguments[:end], arguments[end + 1 :])
    if status < 0:
        end_by(-status)
    return status


def submit(spark_submit: "List[str]", script: "List[str]", ready: "Callable[[], None]" = lambda: None) -> int:
    """Start Spark and run a script through it: its exit code, or a signal's number as a negative one.

    The script begins when Spark has come to its driver and ``ready`` has returned.
    """
    folder = tempfile.mkdtemp(prefix="amltool-spark-")
    if len(os.fsencode(folder)) > LONGEST_ADDRESS:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="amltool-spark-", dir="/tmp")
    try:
        private = private_options(spark_submit[0], folder)
        modules = _modules(spark_submit, folder)
        command = [spark_submit[0], *private, *modules, *spark_submit[1:], os.path.abspath(__file__)]
        status = _follow(command, script, os.path.join(folder, "s"), ready)
    except OSError as error:
        sys.stderr.write("amltool: cannot start %s: %s\n" % (ascii(spark_submit[0]), error.strerror))
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_STARTED
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return status


def _modules(spark_submit: "List[str]", folder: str) -> "List[str]":
    """Options that bring the project's modules to the executors of a standalone master, which are other processes."""
    if not any(word.startswith("spark.master=spark://") for word in spark_submit):
        return []
    from .executor_modules import pack_for_executors

    return ["--conf", "spark.submit.pyFiles=" + ",".join(pack_for_executors(os.getcwd(), folder))]


def private_options(spark_submit: str, folder: str) -> "List[str]":
    """What tells Spark of its private properties: a file that only this user can read, gone once Spark has read it.

    Such a file takes the place of spark-defaults.conf, so what that says comes first in it.
    """
    private = json.loads(os.environ.pop(PROPERTIES_VARIABLE, "{}"))
    if not private:
        return []
    content = _defaults(spark_submit, with_spark_home(spark_submit)) + "".join(
        "%s=%s\n" % (_escaped(name), _escaped(value)) for name, value in sorted(private.items())
    )
    path = os.path.join(folder, PRIVATE)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(content)
    return ["--properties-file", path]


def _defaults(spark_submit: str, environment: "Dict[str, str]") -> str:
    """What Spark would read by itself, ended by a line end."""
    home = environment.get("SPARK_HOME")
    folder = environment.get("SPARK_CONF_DIR") or (home and os.path.join(home, "conf"))
    folder = folder or _own_folder(spark_submit, environment)
    if not folder:
        return ""
    try:
        with open(os.path.join(folder, DEFAULTS), encoding="utf-8", errors="replace") as stream:
            return stream.read() + "\n"
    except OSError:
        return ""


def _own_folder(spark_submit: str, environment: "Dict[str, str]") -> str:
    """The folder of settings that a cluster's own ``spark-submit`` knows by itself: the first of its class path."""
    try:
        process = subprocess.Popen(
            [spark_submit, "--version"],
            env=dict(environment, SPARK_PRINT_LAUNCH_COMMAND="1"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError:
        return ""
    with process.stdout or open(os.devnull, "rb") as said:
        found = [_CLASS_PATH.match(line) for line in said]
    process.wait()
    return next((os.fsdecode(each.group(1)) for each in found if each), "")


def remove_private(folder: str) -> None:
    """Spark came to its driver, so it has read its properties: a run that is killed now leaves no secret behind."""
    try:
        os.unlink(os.path.join(folder, PRIVATE))
    except FileNotFoundError:
        pass  # there are none


def _escaped(text: str) -> str:
    """A text as a Java properties file has it, as name and as value."""
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"}
    units = text.encode("utf-16-be", "surrogatepass")
    made = []
    for place in range(0, len(units), 2):
        unit = units[place] << 8 | units[place + 1]
        character = chr(unit)
        if character in named:
            made.append(named[character])
        elif character in " =:#!\\":
            made.append("\\" + character)
        else:
            made.append(character if 32 < unit < 127 else "\\u%04x" % unit)
    return "".join(made)


def _follow(command: "List[str]", script: "List[str]", address: str, ready: "Callable[[], None]") -> int:
    """How the run ended: an exit code, or a signal's number as a negative one."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen(1)
    driver = _Driver(listener, json.dumps(script).encode("ascii"), ready)
    environment = dict(with_spark_home(command[0]), **{ADDRESS_VARIABLE: address})
    spark = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
    for number in ASKED_TO_END:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=driver.serve, daemon=True).start()
    submitted = spark.wait()
    said = driver.said()
    return submitted if said is None else said


class _Driver:
    """The driver's program as seen from the process that was started first."""

    def __init__(self, listener: socket.socket, command: bytes, ready: "Callable[[], None]") -> None:
        self._listener, self._command, self._ready = listener, command, ready
        self._connection = None  # type: Optional[socket.socket]

    def serve(self) -> None:
        """Wait until it asks, give it the command and the streams of the run."""
        try:
            connection = self._listener.accept()[0]
            remove_private(os.path.dirname(self._listener.getsockname()))
            self._ready()
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", STREAMS).tobytes())]
            connection.sendmsg([b"%d\n" % len(self._command)], rights)
            connection.sendall(self._command)
        except OSError:
            return  # it is gone: how Spark ends says why
        self._connection = connection

    def said(self) -> "Optional[int]":
        """How the script ended; ``None`` where it did not before Spark did."""
        if self._connection is None:
            return None
        self._connection.setblocking(False)
        try:
            return int(self._connection.recv(CHUNK) or b"-")
        except (OSError, ValueError):
            return None


def _drive(address: str) -> int:
    """As the driver's program: run the script to its end, say how it ended."""
    spark = os.getppid()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(address)
    script, streams = _ask(connection)
    for number in ASKED_TO_END:
        signal.signal(number, signal.SIG_IGN)
    folder = _cluster_folder()
    pid = os.fork()
    if pid == 0:
        _become(script, streams)
    for stream in streams:
        os.close(stream)
    status = os.waitpid(pid, 0)[1]
    if folder is not None:
        _fetch(folder)
    end = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    if os.getppid() == spark:  # else the JVM was killed, and the script fell with it
        connection.sendall(b"%d" % end)
    return end if end >= 0 else 128 - end


def _cluster_folder() -> "Optional[Any]":
    """The run's folder on a cluster's file system, made; ``None`` where the run is on no cluster."""
    name = os.environ.pop(FOLDER_VARIABLE, None)
    if name is None:
        return None
    from .cluster_files import ClusterFolder

    folder = ClusterFolder(name)
    with open(os.path.join("..", "cluster", VERSION), "w") as stream:
        stream.write(folder.spark_version())
    return folder


def _fetch(folder: "Any") -> None:
    """Bring what Spark wrote to the cluster's file system here; where that fails, whoever started us does it."""
    try:
        folder.fetch(os.getcwd())
        folder.remove()
        folder.close()
        with open(os.path.join("..", "cluster", FETCHED), "w"):
            pass
    except Exception as error:  # the Java machine was killed, or its file system does not answer
        sys.stderr.write("amltool: outputs on the cluster's file system: %s\n" % type(error).__name__)


def _ask(connection: socket.socket) -> "Tuple[List[str], List[int]]":
    """The script's command and the streams of the run."""
    streams = array.array("i")
    content, rights, _, _ = connection.recvmsg(CHUNK, socket.CMSG_LEN(len(STREAMS) * streams.itemsize))
    for _, _, given in rights:
        streams.frombytes(given)
    while b"\n" not in content:
        content += connection.recv(CHUNK)
    size, _, command = content.partition(b"\n")
    while len(command) < int(size):
        command += connection.recv(CHUNK) or _gone()
    return json.loads(command.decode("ascii")), streams.tolist()


def _gone() -> "NoReturn":
    raise ConnectionError("the process that started Spark is gone")


def _become(script: "List[str]", streams: "List[int]") -> "NoReturn":
    """Turn this fork into the script, in a process group of its own: its `kill 0` ends it, not Spark."""
    try:
        os.setpgid(0, 0)
        for number in ASKED_TO_END:
            signal.signal(number, signal.SIG_DFL)
        for place, stream in enumerate(streams):
            os.dup2(stream, place)
        os.execv(sys.executable, [sys.executable, *script])  # noqa: S606
    finally:
        os._exit(NOT_STARTED)


def with_spark_home(spark_submit: str) -> "Dict[str, str]":
    """The environment; with SPARK_HOME where ``spark-submit`` is that of a ``pyspark`` package.

    Its own search for it does not work with an interpreter whose path has a blank.
    """
    environment = dict(os.environ)
    found = os.path.realpath(shutil.which(spark_submit) or spark_submit)
    if environment.get("SPARK_HOME") or not os.path.exists(os.path.join(os.path.dirname(found), "find_spark_home.py")):
        return environment
    from importlib.util import find_spec

    spec = find_spec("pyspark")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if os.path.isdir(os.path.join(folder, "jars")):
            environment["SPARK_HOME"] = folder
    return environment


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
