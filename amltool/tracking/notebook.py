"""Runs a notebook as a script, with what its environment has; standard library at import, Python 3.6.

    python notebook.py NOTEBOOK [NAME=VALUE …]

The kernel is this same Python, in the current folder, with the notebook's folder on its module search path as a
script's is. What the cells print appears as it comes. The executed notebook is written to ``outputs/``, below the
path it has in the project: every few seconds, and however the run ends. It ends with exit code 1 when a cell fails,
with that of ``sys.exit(n)`` in a cell, and as the kernel ended where that was ended from outside.

``NAME=VALUE`` is set after the cell tagged ``parameters``, as papermill does it.
"""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional

if not __package__:  # run by its path, as the bootstrap: our modules must not shadow the user's
    package = type(sys)("amltool_bootstrap")
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules["amltool_bootstrap"] = package
    __package__ = "amltool_bootstrap"
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) not in package.__path__]

from .ending import end_by  # noqa: E402
from .notebook_contents import ids_in, settle_ids, settled  # noqa: E402
from .notebook_parameters import RefusedError, inject, is_python, parameter  # noqa: E402
from .notebook_streams import LateOutputs  # noqa: E402

OUTPUTS = "outputs"
SAVE_S = 10.0
"""A notebook is written after a cell when the last time was so many seconds ago; heavy ones take a while."""
KERNEL_START_S = 300
"""How long a kernel may take to answer for the first time, on a slow disk."""
NOTEBOOK_FORMAT = 4
LONGEST_FOLDER = 80
"""Of the sockets' folder, in bytes: a socket's path may have 104 on macOS, 108 on Linux."""
LAST_WORDS = 8192
"""How much of what a kernel itself printed is kept, in bytes, in case it does not end well."""
SAME_PYTHON = "amltool"
"""The name of the kernel that is this Python."""
MISSING = (
    "amltool: {0} is a notebook, and this environment has nothing that runs one.\n"
    "Add nbclient and ipykernel under pip in conda_dependencies.yml, or install them: {1} -m pip install nbclient "
    "ipykernel"
)
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def main(arguments: "List[str]") -> int:
    """The command line; does not return where the kernel was ended by a signal."""
    if not arguments:
        sys.stderr.write("notebook.py NOTEBOOK [NAME=VALUE ...]\n")
        return 2
    path = arguments[0]
    try:
        parameters = dict(parameter(argument, path) for argument in arguments[1:])
        _require(path)
        notebook = _read(path)
        inject(notebook, parameters, path)
        settle_ids(notebook, ids_in(path))
        return _run(path, notebook)
    except RefusedError as refused:
        sys.stderr.write("%s\n" % refused)
        return 1


def executed_path(path: str) -> str:
    """Where an executed notebook goes: its own path, below ``outputs``."""
    parts = [part for part in os.path.normpath(path).split(os.sep) if part not in ("..", "")]
    return os.path.abspath(os.path.join(OUTPUTS, *(parts[1:] if parts[0] == OUTPUTS else parts)))


def _require(path: str) -> None:
    from importlib.util import find_spec

    if find_spec("nbclient") is None or find_spec("ipykernel") is None:
        raise RefusedError(MISSING.format(path, os.path.basename(sys.executable)))


def _read(path: str) -> "Any":
    import nbformat

    try:
        return nbformat.read(path, as_version=NOTEBOOK_FORMAT)
    except OSError as error:
        why = error.strerror
    except Exception as error:  # nbformat raises what its readers of five formats raise
        why = str(error).partition("\n")[0]
    raise RefusedError(
        "amltool: %s cannot be read as a notebook: %s.\nOpen it in Jupyter and save it again." % (path, why)
    )


def _run(path: str, notebook: "Any") -> int:
    """Execute all cells; the exit code."""
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import CellExecutionError

    execution = _Execution(notebook, executed_path(path), _own_folder())
    client = _client(path, execution)
    code = 0
    try:
        client.execute()
    except CellExecutionError as error:
        code = _exit_code(error, path, execution)
    except NoSuchKernel as error:
        raise RefusedError(
            "amltool: %s wants the kernel %s, and it is not installed here." % (path, error.name)
        ) from None
    except RuntimeError:  # among them nbclient's DeadKernelError
        if execution.process is None or execution.process.poll() is None:
            raise
        code = _end_of_kernel(execution, path)
    finally:
        execution.save()
        shutil.rmtree(execution.own, ignore_errors=True)
    if code < 0:
        end_by(-code)
    return code


def _own_folder() -> str:
    """Where Jupyter and IPython write for themselves, and where the kernel's sockets are: their paths must be short."""
    folder = tempfile.mkdtemp(prefix="amltool-notebook-")
    if len(os.fsencode(folder)) > LONGEST_FOLDER:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="amltool-notebook-", dir="/tmp")
    for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        os.environ.setdefault(name, folder)
    return folder


class _Execution:
    """A notebook on its way, and where what became of it goes."""

    def __init__(self, notebook: "Any", executed: str, own: str) -> None:
        self.notebook, self.executed, self.own = notebook, executed, own
        self.at = 0
        self.process = None  # type: Any
        self.last_words = b""
        self._saved = time.monotonic()

    def save(self) -> None:
        """Write the notebook as it is now, whole or not at all."""
        from nbformat import writes

        os.makedirs(os.path.dirname(self.executed), exist_ok=True)
        folder, name = os.path.split(self.executed)
        beside = os.path.join(folder, ".%s.%d.part" % (name[:200], os.getpid()))
        try:
            with open(beside, "w", encoding="utf-8") as stream:
                kernel = getattr(self.process, "pid", None)
                stream.write(settled(writes(self.notebook), self.notebook, kernel) + "\n")
            os.replace(beside, self.executed)
        finally:
            if os.path.exists(beside):
                os.unlink(beside)
        self._saved = time.monotonic()

    def save_now_and_then(self) -> None:
        """The same when the last time was a while ago."""
        if time.monotonic() - self._saved >= SAVE_S:
            self.save()

    def listen(self) -> int:
        """A descriptor for the kernel's own standard error; its output streams come as messages."""
        source, sink = os.pipe()

        def read() -> None:
            for chunk in iter(lambda: os.read(source, LAST_WORDS), b""):
                self.last_words = (self.last_words + chunk)[-LAST_WORDS:]
            os.close(source)

        threading.Thread(target=read, daemon=True).start()
        return sink

    def watch(self, kernel: "Any") -> None:
        """Know the kernel's process; signals to us are ours (nbclient takes them, and fails without saving)."""
        if self.process is not None:
            return
        self.process = getattr(getattr(kernel, "provisioner", None), "process", None)
        loop = asyncio.get_event_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, self.on_signal)

    def on_signal(self, number: int, _: "Any") -> None:
        """Keep what was done so far, then end by the signal."""
        try:
            self.save()
        finally:
            if self.process is not None and self.process.poll() is None:
                self.process.terminate()
            shutil.rmtree(self.own, ignore_errors=True)
            end_by(number)


def _client(path: str, execution: "_Execution") -> "Any":
    """What executes the cells and lets the streams through."""
    import ipykernel
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    reads_descriptors = ipykernel.version_info >= (6,)  # what the cells' child processes print is among the messages
    last = len(execution.notebook.cells) - 1

    class Client(NotebookClient):  # type: ignore[misc,unused-ignore]
        late = None  # type: Any

        async def async_start_new_kernel(self, **options: "Any") -> None:
            sink = execution.listen()
            streams = {"stdout": subprocess.DEVNULL, "stderr": sink} if reads_descriptors else {}
            try:
                await super().async_start_new_kernel(**streams, **options)
            finally:
                os.close(sink)
            execution.watch(self.km)

        async def async_start_new_kernel_client(self) -> "Any":
            client = await super().async_start_new_kernel_client()
            self.late = LateOutputs(client, self.process_message)
            return client

        async def async_execute_cell(self, cell: "Any", cell_index: int, *more: "Any", **named: "Any") -> "Any":
            execution.at = cell_index
            is_last = False
            try:
                executed = await super().async_execute_cell(cell, cell_index, *more, **named)
                is_last = cell_index == last
                return executed
            except CellExecutionError:
                is_last = True
                raise
            finally:
                if is_last and reads_descriptors and name == SAME_PYTHON:
                    await self.late.finish()
                execution.save_now_and_then()

        def process_message(self, msg: "Any", cell: "Any", cell_index: int) -> "Any":
            self.late.begin(msg, cell, cell_index)
            output = super().process_message(msg, cell, cell_index)  # first: what was seen is in the notebook
            _echo(msg.get("msg_type"), msg.get("content", {}))
            return output

    notebook = execution.notebook
    name = SAME_PYTHON if is_python(notebook) else notebook.metadata.get("kernelspec", {}).get("name", "")
    options = {"kernel_name": name, "kernel_manager_class": _kernels(path, execution.own), "timeout": None}
    options["record_timing"] = False  # when a cell began is no result of it
    folder = {"metadata": {"path": os.getcwd()}}
    return Client(notebook, startup_timeout=KERNEL_START_S, resources=folder, **options)


def _kernels(path: str, own: str) -> "Any":
    """Starts kernels: this same Python, whatever kernels the user has, or one of another language by its name."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from traitlets import default

    start = (  # where a crash is said before ipykernel takes the descriptors, which it does not read any more then
        "import faulthandler, os; faulthandler.enable(os.dup(2), all_threads=False); "
        "import sys; sys.path[:] = [entry for entry in sys.path if entry]; from ipykernel import kernelapp; "
        "sys.path.insert(0, %s); kernelapp.launch_new_instance()" % ascii(os.path.dirname(os.path.abspath(path)))
    )

    class Specifications(KernelSpecManager):  # type: ignore[misc,unused-ignore]
        def get_kernel_spec(self, kernel_name: str) -> "Any":
            if kernel_name != SAME_PYTHON:
                return super().get_kernel_spec(kernel_name)
            argv = [sys.executable, "-c", start, "-f", "{connection_file}"]
            return KernelSpec(argv=argv, display_name="Python 3", language="python")

    class Manager(AsyncKernelManager):  # type: ignore[misc,unused-ignore]
        @default("kernel_spec_manager")  # type: ignore[untyped-decorator,unused-ignore]
        def _specifications(self) -> "Any":
            return Specifications(parent=self)

        @default("transport")  # type: ignore[untyped-decorator,unused-ignore]
        def _sockets_of_files(self) -> str:
            return "ipc"  # nobody else on this machine can listen, and no port can be taken

        @default("ip")  # type: ignore[untyped-decorator,unused-ignore]
        def _path_of_sockets(self) -> str:
            return os.path.join(own, "kernel")

    return Manager


def _echo(kind: "Optional[str]", content: "Any") -> None:
    """Show on the console what a cell printed, displayed or failed with."""
    stream, text = sys.stdout, ""
    if kind == "stream":
        stream, text = sys.stderr if content.get("name") == "stderr" else sys.stdout, content.get("text", "")
    elif kind in ("display_data", "execute_result"):
        text = content.get("data", {}).get("text/plain", "")
        text = text + "\n" if text else ""
    elif kind == "error" and content.get("ename") != "SystemExit":
        stream, text = sys.stderr, _ANSI.sub("", "\n".join(content.get("traceback", []))) + "\n"
    if text:
        stream.buffer.write(text.encode("utf-8", "backslashreplace"))
        stream.flush()


def _exit_code(error: "Any", path: str, execution: "_Execution") -> int:
    """That of a notebook whose cell raised: as Python ends with ``SystemExit``, else 1."""
    if error.ename != "SystemExit":
        sys.stderr.write("amltool: cell %d of %s failed: %s\n" % (execution.at + 1, path, error.ename))
        return 1
    if error.evalue in ("", "None", "False", "0"):
        return 0
    try:
        return int(error.evalue) & 0xFF
    except ValueError:
        sys.stderr.write(_ANSI.sub("", error.evalue) + "\n")
        return 1


def _end_of_kernel(execution: "_Execution", path: str) -> int:
    """How a kernel ended that did so by itself: its exit code, or a signal's number as a negative one."""
    code = int(execution.process.poll())
    words = execution.last_words.decode("utf-8", "backslashreplace")
    how = "with exit code %d" % code if code >= 0 else "by signal %d" % -code
    sys.stderr.write("%samltool: the kernel of %s ended in cell %d %s\n" % (words, path, execution.at + 1, how))
    sys.stderr.flush()  # the end may be a signal
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
