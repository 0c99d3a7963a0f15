"""Answers requests until the connection ends, or nothing was heard for so long that the other side must be gone.

What it runs then ends with it; what it started does not.
"""

import errno
import os
import pwd
import sys
import threading
from typing import Any, Callable, Dict, List, Optional  # noqa: F401 (types of values stand in comments)

from amltool.hosts.there.answers import MAGIC, Answer, Answers, Header, Source, received
from amltool.hosts.there.operations import Operations, end_session
from amltool.hosts.there.tree import shown

LONGEST_REASON = 1000


def facts() -> Header:
    """What is known of this machine and user without starting a program."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as stream:
            boot_id = stream.read().strip()
    except OSError:
        boot_id = ""
    machine = os.uname()
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return {
        "uid": os.getuid(),
        "gid": os.getgid(),
        "user": user,
        "home": shown(os.path.expanduser(b"~")),
        "python": sys.executable,
        "python_version": ".".join(map(str, sys.version_info[:3])),
        "git": program("git"),
        "docker": program("docker"),
        "boot_id": boot_id,
        "platform": sys.platform,
        "machine": machine.machine,
        "node": machine.nodename,
    }


def program(name: str) -> Optional[str]:
    for folder in os.get_exec_path():
        path = os.path.join(folder, name)
        if os.path.isabs(path) and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def serve(operation: Callable[..., None], answer: Answer, header: Header, body: bytes) -> None:
    try:
        operation(answer, body, **header)
    except BrokenPipeError:
        pass  # nobody listens any more
    except OSError as error:
        name = error.filename
        answer.end(
            errno=errno.errorcode.get(error.errno or 0, "EIO"),
            strerror=error.strerror or str(error),
            filename=shown(name) if isinstance(name, bytes) else name,
        )
    except Exception as error:
        answer.end(failed="{}: {}".format(type(error).__name__, error)[:LONGEST_REASON])


def main() -> None:
    source, answers, operations = Source(os.dup(0)), Answers(os.dup(1)), Operations()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    answers.say(MAGIC)
    answers.frame(facts())
    try:
        while True:
            header, body = received(source)
            answer = Answer(answers, header.pop("number"))
            name = header.pop("operation")
            if name == "ping":
                answer.end()
            else:
                given = (getattr(operations, name), answer, header, body)
                threading.Thread(target=serve, args=given, daemon=True).start()
    except (EOFError, OSError):
        pass
    for process in list(operations.running.values()):
        end_session(process)
    for thread in operations.feeding:
        thread.join()
    os._exit(0)
