"""Runs a script on a Hadoop cluster from its head node, and ends as the script ends; standard library, Python 3.6.

    python cluster_run.py                  (its settings are JSON in the environment variable SETTINGS_VARIABLE)
    python cluster_run.py end TAG FOLDER   (end the applications with a tag, remove the run's folder there)

It is the command of the run there: the bootstrap watches over it, so that the run needs no client. In deploy mode
``client`` the script runs here, as with any Spark (``spark_run``); in deploy mode ``cluster`` it runs in a container of
YARN (``cluster_driver``): this program submits it once, shows its console as it grows, and brings its outputs here.
Application ids, the state that YARN says, and the reason of an end that the script could not say itself are in
``SPARK_FILE`` of the run's folder. ``done`` stands there once nothing of the run goes on or lies on the cluster: where
this program was killed before, its client ends what is left (``end``).

YARN's answers to each kind of end: docs/hdinsight.md.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, TypeVar

    T = TypeVar("T")

if not __package__:  # run by its path, as the bootstrap: our modules must not shadow the user's
    package = type(sys)("amltool_bootstrap")
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules["amltool_bootstrap"] = package
    __package__ = "amltool_bootstrap"
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) not in package.__path__]

from . import spark_run  # noqa: E402
from .cluster_driver import CONSOLE, END, LEFT, LIBRARY, PROJECT, SETTINGS, pack  # noqa: E402
from .cluster_storage import files, merge, put_again, put_if_missing, unpack_left  # noqa: E402
from .ending import end_by  # noqa: E402
from .executor_modules import pack_for_executors  # noqa: E402
from .spark_reasons import reason_in  # noqa: E402
from .yarn import OVER, WAITING, Yarn, YarnError, am_container, read_log  # noqa: E402

SETTINGS_VARIABLE = "AMLTOOL_CLUSTER_RUN"
SPARK_FILE = "spark.json"
FOLDER = "cluster"
"""In the run's folder: what is sent to the cluster and what comes back."""
WATCH_S = 1.0
LOOK_S = 0.5
"""Between two looks at the application and its console."""
SILENCE_S = 600.0
"""A ResourceManager that does not answer for so long is given up."""
SEEN_S = 30.0
"""How long YARN may take to list an application that it has accepted."""
AGGREGATION_S = 30.0
TAIL = 1 << 16
UNKNOWN = 1
WAITS = "NEW"
"""YARN's word for an application that it does not know yet."""
OVER_S = 10.0
"""Seconds that an application that was killed may take to end, before what it leaves is removed."""
OURS = ("AMLTOOL_", "AZUREML_")
TAGS = "spark.yarn.tags="


def main(arguments: "List[str]") -> int:
    """The command line; does not return where the script ended by a signal."""
    if arguments[:1] == ["end"]:
        return end(*arguments[1:3])
    settings = json.loads(os.environ.pop(SETTINGS_VARIABLE))
    run = ClientRun(settings) if settings["mode"] == "client" else ClusterRun(settings)
    run.say()
    status = run.run()
    run.say(done=not run.unanswered)
    if status < 0:
        end_by(-status)
    return status


def end(tag: str, folder: str) -> int:
    """End the applications of a run that cannot do so any more, and remove what they leave; 0 when nothing is left."""
    yarn = Yarn(os.environ)
    try:
        kill(yarn, tag)
    except YarnError as error:
        sys.stderr.write("%s\n" % error)
        return 1
    subprocess.Popen(  # it takes a Java machine some seconds, and nobody needs to wait for it
        ["hadoop", "fs", "-rm", "-r", "-f", "-skipTrash", folder],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return 0


def kill(yarn: "Yarn", tag: str) -> bool:
    """Kill what runs of a run on the cluster, and wait until it is over; False where nothing ran.

    Raises:
        YarnError: no ResourceManager answers.
    """
    until, killed = time.monotonic() + OVER_S, []  # type: float, List[str]
    while True:
        running = [each["id"] for each in yarn.applications(tag) if each.get("state") not in OVER]
        for name in running:
            if name not in killed:
                yarn.kill(name)
                killed.append(name)
        if not running or time.monotonic() > until:
            return bool(killed)
        time.sleep(LOOK_S / 5)


class _Run:
    """What both deploy modes have in common. The current folder is the run's ``work``."""

    def __init__(self, settings: "Dict[str, Any]") -> None:
        self.settings = settings
        self.work = os.getcwd()
        self.top = os.path.dirname(self.work)
        self.folder = os.path.join(self.top, FOLDER)
        self.yarn = Yarn(os.environ)
        self.tag = settings["tag"]
        self.modules = []  # type: List[str]
        self.unanswered = False
        self.saying = threading.Lock()
        self.known = {"v": 1, "applications": [], "state": "", "reason": None}  # type: Dict[str, Any]
        self.known.update(spark=None, done=False)
        os.makedirs(self.folder, mode=0o700, exist_ok=True)

    def say(self, **changes: "Any") -> None:
        """Write down what is known of the application."""
        with self.saying:
            self.known.update(changes)
            beside = os.path.join(self.top, "." + SPARK_FILE)
            with open(beside, "w", encoding="ascii") as stream:
                json.dump(self.known, stream)
            os.rename(beside, os.path.join(self.top, SPARK_FILE))

    def options(self) -> "List[str]":
        """The options of ``spark-submit``: what the user wrote wins, but the tag is ours beside theirs."""
        settings = self.settings
        tags = [word.partition("=")[2] for word in settings["options"] if word.startswith(TAGS)]
        found = ["--conf", "spark.yarn.maxAppAttempts=1"]
        # what is removed with the run's folder is removed whenever the run is killed
        found += ["--conf", "spark.yarn.stagingDir=%s/%s" % (self.yarn.home, settings["folder"])]
        # not --py-files: with it a driver in a container warns of a path of this machine
        found += ["--conf", "spark.yarn.dist.pyFiles=" + ",".join(self.modules), *settings["options"]]
        found += ["--conf", TAGS + ",".join([self.tag, *tags])]
        if settings["archive"]:
            found += ["--archives", self.yarn.home + "/" + settings["archive"]["remote"] + "#environment"]
        return found

    def look(self) -> "List[Dict[str, Any]]":
        """The run's applications, written down where something is new.

        Raises:
            YarnError: no ResourceManager answers.
        """
        found = self.yarn.applications(self.tag)
        if found:
            names, state = [each["id"] for each in found], found[-1].get("state", "")
            if (names, state) != (self.known["applications"], self.known["state"]):
                self.say(applications=names, state=state)
        return found

    def patiently(self, ask: "Callable[[], T]") -> "Optional[T]":
        """Ask YARN, also where its ResourceManager is away for some minutes; ``None`` where it stays away."""
        until = time.monotonic() + SILENCE_S
        while True:
            try:
                return ask()
            except YarnError as error:
                if time.monotonic() > until:
                    sys.stderr.write("amltool: YARN is not asked any more: %s\n" % error)
                    self.unanswered = True
                    return None
                time.sleep(LOOK_S)

    def end_applications(self, *, clean: bool) -> None:
        """Kill what still runs of the run on the cluster; with ``clean`` remove what a killed one leaves behind."""
        if self.patiently(lambda: kill(self.yarn, self.tag)) or clean:
            files("-rm", "-r", "-f", "-skipTrash", self.settings["folder"])

    def reason(self, text: str) -> None:
        """Write down the reason of a failed end, where ``text`` (of Spark or YARN) names one that has a remedy."""
        found = reason_in(text)
        if found and not self.known["reason"]:
            self.say(reason=found)

    def fetch(self) -> "Optional[Dict[str, Any]]":
        """Bring the run's folder of the cluster's file system here, and remove it there; how the driver ended."""
        came = os.path.join(self.folder, "came")
        shutil.rmtree(came, ignore_errors=True)
        if files("-get", self.settings["folder"], came):
            return None
        removing = subprocess.Popen(
            ["hadoop", "fs", "-rm", "-r", "-f", "-skipTrash", self.settings["folder"]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name in ("outputs", "logs"):
            merge(os.path.join(came, name), os.path.join(self.work, name))
        left = os.path.join(came, LEFT)
        if os.path.isfile(left):
            unpack_left(left, self.work, self.top, self.folder)
        try:
            with open(os.path.join(came, END), encoding="ascii") as stream:
                end = json.load(stream)
        except (OSError, ValueError):
            end = None
        removing.wait()
        return end if isinstance(end, dict) else None

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)


class ClientRun(_Run):
    """The driver is a process of this machine: how ``spark-submit`` ends is how the script ends."""

    def run(self) -> int:
        """An exit code, or a signal's number as a negative one."""
        self.modules = pack_for_executors(self.work, self.folder)
        os.environ[spark_run.FOLDER_VARIABLE] = self.settings["folder"]
        command = [*self.settings["spark_submit"], "--master", "yarn", "--deploy-mode", "client", *self.options()]
        threading.Thread(target=self._watch, daemon=True).start()
        status = spark_run.submit(command, self.settings["script"], ready=self._archive_is_there())
        self.say(spark=_tail(self._path(spark_run.VERSION)) or None)
        is_fetched = os.path.exists(self._path(spark_run.FETCHED))
        found = self.patiently(self.look)
        if status > 0:
            self.reason(_tail(os.path.join(self.top, "console.log")))
        elif status < 0 and not is_fetched:
            self.say(reason="Spark was ended by %s before the script ended" % _signal_name(-status))
        if not is_fetched and found:  # the Java machine is gone: it was killed, or the run canceled
            self.fetch()
        self.end_applications(clean=status < 0 or (status > 0 and not is_fetched))
        return status

    def _archive_is_there(self) -> "Callable[[], None]":
        """Look for the environment's archive while Spark starts; give what waits until it is there."""
        if not self.settings["archive"]:
            return lambda: None
        looking = threading.Thread(target=put_if_missing, args=(self.settings["archive"], self.yarn.folder))
        looking.daemon = True
        looking.start()
        return looking.join

    def _watch(self) -> None:
        """Write down when the application waits, and when it runs: nobody else looks while the script goes on."""
        while True:
            try:
                self.look()
            except (YarnError, OSError):
                pass
            time.sleep(WATCH_S)


class ClusterRun(_Run):
    """The driver is a container of YARN."""

    def __init__(self, settings: "Dict[str, Any]") -> None:
        super(ClusterRun, self).__init__(settings)
        self.shown = 0
        self.canceled = False

    def run(self) -> int:
        """An exit code, or a signal's number as a negative one."""
        for number in spark_run.ASKED_TO_END:
            signal.signal(number, self._cancel)
        self.say(state=WAITS)
        self.modules = pack_for_executors(self.work, self.folder)
        pack(self.settings["library"], self._path(LIBRARY))
        self._write_settings()
        status = self._submit()
        if status == 1 and self._lacks_archive():  # somebody removed it
            put_again(self.settings["archive"])
            status = self._submit()
        found = self.patiently(self.look) if status > 128 and not self.canceled else None
        if status and not found:  # one that was killed may have submitted it before
            return self._not_submitted(status)
        application = self._follow()
        if application is None:
            self.end_applications(clean=not self.canceled)
            if not self.canceled:
                return UNKNOWN
            self.fetch()
            return -signal.SIGTERM
        end = self.fetch()
        if end is None:
            return self._without_words(application)
        self._show_rest(os.path.join(self.folder, "console.log"))
        self.say(spark=str(end.get("spark") or "") or None)
        if end.get("exit_code"):
            self.reason(_tail(os.path.join(self.folder, "console.log")))
        if end.get("signal"):
            return -int(getattr(signal, str(end["signal"]), signal.SIGKILL))
        return int(end["exit_code"])

    def _lacks_archive(self) -> bool:
        archive = self.settings["archive"]
        # where the folder went with it, Spark names the folder alone
        folder = archive and re.escape(os.path.dirname(archive["remote"]))
        missing = folder and r"File(?:NotFoundException| does not exist)[^\n]*" + folder
        return bool(missing and re.search(missing, _tail(self._path("submit.log"))))

    def _not_submitted(self, status: int) -> int:
        """The exit code of a ``spark-submit`` that failed, after its words and without a trace of it on the cluster."""
        said = _tail(self._path("submit.log"))
        sys.stderr.write(said)
        self.reason(said)
        if not self.known["reason"] and not self.canceled:
            ended = "ended by %s" % _signal_name(status - 128) if status > 128 else "failed with exit code %d" % status
            self.say(reason="spark-submit %s before YARN had accepted the application" % ended)
        self.end_applications(clean=True)
        return status

    def _cancel(self, *_: "Any") -> None:
        self.canceled = True

    def _write_settings(self) -> None:
        content = {key: self.settings[key] for key in ("folder", "script")}
        content["variables"] = {
            name: value for name, value in os.environ.items() if name in self.settings["own"] or name.startswith(OURS)
        }
        with open(os.open(self._path(SETTINGS), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            json.dump(content, stream)

    def _submit(self) -> int:
        """Submit the application once, and return when YARN has accepted it; the exit code where it did not."""
        driver = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cluster_driver.py")
        sent = [self._path(name) for name in (SETTINGS, PROJECT, LIBRARY)]
        command = [*self.settings["spark_submit"], "--master", "yarn", "--deploy-mode", "cluster"]
        command += ["--conf", "spark.yarn.submit.waitAppCompletion=false", *self.options(), "--files", ",".join(sent)]
        private = spark_run.private_options(command[0], self.folder)
        with open(self._path("submit.log"), "wb") as log:
            spark = subprocess.Popen(
                [command[0], *private, *command[1:], driver],
                env=dict(spark_run.with_spark_home(command[0]), PYTHONPATH=""),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            status = spark.wait()
        spark_run.remove_private(self.folder)
        return 128 - status if status < 0 else status

    def _follow(self) -> "Optional[Dict[str, Any]]":
        """Show the driver's console until the application is over; ``None`` where it was canceled or is lost."""
        heard = began = time.monotonic()
        while True:
            found = None
            try:
                found = self.look()
                heard = time.monotonic()
            except YarnError as error:
                if time.monotonic() - heard > SILENCE_S:
                    self.say(reason="the ResourceManager did not answer for %d minutes: %s" % (SILENCE_S / 60, error))
                    return None
            if self.canceled and found != []:
                return None
            if found == [] and time.monotonic() - began > SEEN_S:
                self.say(reason="YARN accepted the application and does not list it")
                return None
            if found and found[-1].get("state") in OVER:
                return found[-1]
            if found and found[-1].get("state") not in WAITING:
                self._show_new(found[-1])
            time.sleep(LOOK_S)

    def _show_new(self, application: "Dict[str, Any]") -> None:
        container = am_container(application)
        if container is None:
            return
        try:
            content = read_log(container, CONSOLE, self.shown)
        except YarnError:
            return  # what it has to say comes with its outputs, or from the aggregated logs
        self._show(content)

    def _show(self, content: bytes) -> None:
        if content:
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
            self.shown += len(content)

    def _show_rest(self, console: str) -> None:
        """The end of the console, which the driver left with its outputs."""
        try:
            with open(console, "rb") as stream:
                stream.seek(self.shown)
                for block in iter(lambda: stream.read(1 << 20), b""):
                    self._show(block)
        except OSError:
            pass

    def _without_words(self, application: "Dict[str, Any]") -> int:
        """The exit code where the driver could not say how it ended: YARN's word, and what its log holds."""
        self._show_aggregated(application)
        diagnostics = str(application.get("diagnostics") or "")
        if application.get("finalStatus") == "KILLED":
            self.say(reason="the application was killed in YARN")
        elif not reason_in(diagnostics):
            self.say(reason="the driver was lost: %s" % (diagnostics.strip().splitlines() or ["YARN says no more"])[0])
        else:
            self.reason(diagnostics)
        self.end_applications(clean=True)
        return UNKNOWN

    def _show_aggregated(self, application: "Dict[str, Any]") -> None:
        """The rest of the console, and what Spark printed last, from the logs that YARN has gathered."""
        until = time.monotonic() + AGGREGATION_S
        while application.get("logAggregationStatus") in ("NOT_START", "RUNNING") and time.monotonic() < until:
            time.sleep(LOOK_S)
            application = (self.patiently(self.look) or [application])[-1]
        for name, offset in ((CONSOLE, self.shown), ("stderr", -4096)):
            said = subprocess.run(
                ["yarn", "logs", "-applicationId", application["id"], "-log_files", name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            ).stdout
            for part in said.split(b"\nLogContents:\n")[1:2]:
                self._show(part.rpartition(b"\nEnd of LogType:")[0][offset:])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal %d" % number


def _tail(file: str) -> str:
    try:
        with open(file, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - TAIL))
            return stream.read().decode("utf-8", "backslashreplace")
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
