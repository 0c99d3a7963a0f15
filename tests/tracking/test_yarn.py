"""YARN's REST, answered by a server of this test's own in the words of Hadoop 3.3.4."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.tracking.yarn import Yarn, YarnError, addresses, am_container, read_log

CONTAINER = "container_1_0001_01_000001"


class Server:
    """Answers as a ResourceManager and as a NodeManager; ``grows`` is added to the log between list and reading."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, str, bytes]] = []
        self.log = b""
        self.grows: list[bytes] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self, b"")

            def do_PUT(self) -> None:
                outer.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            do_POST = do_PUT  # noqa: N815 - the names of http.server

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        path, _, query = handler.path.partition("?")
        self.asked.append((handler.command, handler.path, body))
        if path.endswith("/logs"):
            info = {"fileName": "console", "fileSize": str(len(self.log))}
            content = json.dumps([{"containerLogsInfo": {"containerLogInfo": [info]}}]).encode()
        elif "/logs/" in path:
            self.log += self.grows.pop(0) if self.grows else b""
            wanted = -int(query.partition("size=")[2])
            head = f"Container: {CONTAINER}\n{'=' * 40}\nLogType:console\nLogLength:{len(self.log)}\nLogContents:\n"
            content = head.encode() + self.log[-wanted:] + b"\nEnd of LogType:console\n"
        elif path in self.answers:
            content = json.dumps(self.answers[path]).encode()
        else:
            handler.send_error(404)
            return
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(content)


@pytest.fixture(name="server", scope="module")
def server_fixture() -> Iterator[Server]:
    made = Server()
    yield made
    made.server.shutdown()


def _yarn(tmp_path: Path, *hosts: str) -> Yarn:
    names = ",".join(f"rm{number}" for number in range(len(hosts)))
    properties = {"yarn.resourcemanager.ha.rm-ids": names}
    for number, host in enumerate(hosts):
        properties[f"yarn.resourcemanager.webapp.address.rm{number}"] = host.removeprefix("http://")
    each = "<property><name>{}</name><value>{}</value></property>"
    text = "".join(each.format(*item) for item in properties.items())
    (tmp_path / "yarn-site.xml").write_text(f"<configuration>{text}</configuration>")
    (tmp_path / "core-site.xml").write_text(
        "<configuration><property><name>fs.defaultFS</name><value>hdfs://head:8020/</value></property></configuration>"
    )
    return Yarn({"HADOOP_CONF_DIR": str(tmp_path), "USER": "ada"})


@given(
    log=st.binary(max_size=300),
    shown=st.integers(0, 300),
    grows=st.lists(st.binary(max_size=40), max_size=3),
)
@settings(deadline=None, max_examples=60)
def test_a_log_is_read_on_from_any_byte_whatever_it_holds_while_it_grows(
    log: bytes, shown: int, grows: list[bytes], server: Server
) -> None:
    shown = min(shown, len(log))
    server.log, server.grows = log, list(grows)

    read = log[:shown]
    for _ in range(8):
        read += read_log((server.address, CONTAINER), "console", len(read))

    assert read == server.log


def test_an_application_is_found_by_its_tag_at_the_active_resourcemanager(server: Server, tmp_path: Path) -> None:
    app = {"id": "application_1_0002", "state": "RUNNING", "startedTime": 2}
    server.answers = {
        "/ws/v1/cluster/apps": {"apps": {"app": [app, {**app, "id": "application_1_0001", "startedTime": 1}]}}
    }

    found = _yarn(tmp_path, "http://127.0.0.1:1", server.address).applications("amltool-x")

    assert [each["id"] for each in found] == ["application_1_0001", "application_1_0002"]
    assert server.asked[-1][1].endswith("applicationTags=amltool-x")


@pytest.mark.parametrize("answer", [{"apps": None}, {"apps": {}}, {"apps": {"app": [{"id": "x; rm"}, "y"]}}, {}])
def test_what_is_no_application_is_not_taken_for_one(answer: Any, server: Server, tmp_path: Path) -> None:
    server.answers = {"/ws/v1/cluster/apps": answer}

    assert _yarn(tmp_path, server.address).applications("t") == []


def test_an_application_is_killed_as_its_user(server: Server, tmp_path: Path) -> None:
    server.answers = {"/ws/v1/cluster/apps/application_1_0001/state": {"state": "KILLED"}}

    _yarn(tmp_path, server.address).kill("application_1_0001")

    verb, path, body = server.asked[-1]
    assert (verb, path.partition("?")[2], json.loads(body)) == ("PUT", "user.name=ada", {"state": "KILLED"})


def test_a_yarn_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(YarnError, match="does not answer"):
        _yarn(tmp_path, "http://127.0.0.1:1").applications("t")


def test_the_home_folder_is_one_of_the_default_file_system(tmp_path: Path) -> None:
    assert _yarn(tmp_path, "http://127.0.0.1:1").home == "hdfs://head:8020/user/ada"


def test_addresses_come_from_the_hosts_where_nothing_else_is_said() -> None:
    assert addresses({"yarn.resourcemanager.hostname": "head"}) == ["http://head:8088"]
    assert addresses({}) == ["http://localhost:8088"]


def test_the_container_of_a_driver_is_in_the_address_of_its_logs() -> None:
    logs = f"http://wn0:8042/node/containerlogs/{CONTAINER}/sshuser"

    assert am_container({"amContainerLogs": logs}) == ("http://wn0:8042", CONTAINER)
    assert am_container({"amContainerLogs": None}) is None
