"""Ask YARN from a node of its cluster, over its REST; standard library, Python 3.6.

Sources: ResourceManager and NodeManager REST APIs of Hadoop 3.3
(https://hadoop.apache.org/docs/r3.3.4/hadoop-yarn/hadoop-yarn-site/ResourceManagerRest.html).
"""

import json
import os
import pwd
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Optional, Tuple

    Application = Dict[str, Any]

ANSWER_S = 10.0
KILL_S = 20.0
LARGEST_ANSWER = 32 << 20
OVER = frozenset(["FINISHED", "FAILED", "KILLED"])
"""States of an application that is over."""
WAITING = frozenset(["NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED"])
"""States of an application that has no container yet."""
STAGING = ".sparkStaging"
"""In a user's home folder: what ``spark-submit`` puts there for an application, in a folder of its id."""
CONFIGURATION = "/etc/hadoop/conf"
FILES = ("core-site.xml", "hdfs-site.xml", "yarn-site.xml")
_NAME = re.compile(r"application_[0-9]+_[0-9]+")
_LENGTH = re.compile(rb"\nLogLength:([0-9]+)\n")
CONTENTS, END = b"\nLogContents:\n", b"\nEnd of LogType:"


class YarnError(Exception):
    """YARN does not answer, or refuses; says why: by ``code`` of HTTP where it answered with one, else 0."""

    def __init__(self, said: str, code: int = 0) -> None:
        super(YarnError, self).__init__(said)
        self.code = code


def configuration(environment: "Mapping[str, str]") -> "Dict[str, str]":
    """The settings of Hadoop's client on this machine; empty where there are none."""
    found = {}  # type: Dict[str, str]
    folder = environment.get("YARN_CONF_DIR") or environment.get("HADOOP_CONF_DIR") or CONFIGURATION
    for name in FILES:
        try:
            root = ElementTree.parse(os.path.join(folder, name)).getroot()  # noqa: S314 - the machine's own settings
        except (OSError, ElementTree.ParseError):
            continue
        for each in root.iter("property"):
            key, value = each.findtext("name"), each.findtext("value")
            if key and value is not None:
                found[key.strip()] = value.strip()
    return found


def addresses(settings: "Mapping[str, str]") -> "List[str]":
    """The web addresses of the ResourceManagers, each of which may be the active one."""
    names = [name.strip() for name in settings.get("yarn.resourcemanager.ha.rm-ids", "").split(",") if name.strip()]
    secure = settings.get("yarn.http.policy", "HTTP_ONLY") == "HTTPS_ONLY"
    key = "yarn.resourcemanager.webapp.https.address" if secure else "yarn.resourcemanager.webapp.address"
    found = []
    for suffix in ["." + name for name in names] or [""]:
        host = settings.get("yarn.resourcemanager.hostname" + suffix)
        address = settings.get(key + suffix) or (host and "%s:%d" % (host, 8090 if secure else 8088))
        if address and "$" not in address:
            found.append(("https://" if secure else "http://") + address)
    return found or ["http://localhost:8088"]


class Yarn:
    """The YARN that a machine's settings name."""

    def __init__(self, environment: "Mapping[str, str]") -> None:
        settings = configuration(environment)
        self._addresses = addresses(settings)
        self._user = environment.get("HADOOP_USER_NAME") or environment.get("USER") or pwd.getpwuid(os.getuid()).pw_name
        self.folder = "/user/" + self._user
        self.home = settings.get("fs.defaultFS", "").rstrip("/") + self.folder
        """The user's home folder on the default file system, as an address."""

    def applications(self, tag: str) -> "List[Application]":
        """The applications with a tag, the oldest first.

        Raises:
            YarnError: no ResourceManager answers.
        """
        return self._listed("applicationTags=" + urllib.parse.quote(tag))

    def applications_of_user(self) -> "List[Application]":
        """The user's applications that YARN still knows, the oldest first.

        Raises:
            YarnError: no ResourceManager answers.
        """
        return self._listed("user=" + urllib.parse.quote(self._user))

    def _listed(self, query: str) -> "List[Application]":
        said = self._ask("/ws/v1/cluster/apps?" + query)
        apps = (said.get("apps") or {}).get("app") or []
        found = [each for each in apps if isinstance(each, dict) and _NAME.match(str(each.get("id")))]
        return sorted(found, key=lambda each: (each.get("startedTime") or 0, str(each["id"])))

    def about(self) -> "Dict[str, Any]":
        """Version and state of the active ResourceManager.

        Raises:
            YarnError: no ResourceManager answers.
        """
        return dict(self._ask("/ws/v1/cluster/info").get("clusterInfo") or {})

    def application(self, name: str) -> "Application":
        """Give an application, as YARN knows it.

        Raises:
            YarnError: no ResourceManager answers, or it does not know it.
        """
        return dict(self._ask("/ws/v1/cluster/apps/" + name).get("app") or {})

    def new_application(self) -> str:
        """The id for an application that is going to be submitted by `submit`.

        Raises:
            YarnError: no ResourceManager answers, or it gives none to this user.
        """
        said = self._ask("/ws/v1/cluster/apps/new-application" + self._as_user(), b"", "POST")
        return str(said.get("application-id") or "")

    def submit(self, application: "Dict[str, Any]") -> None:
        """Submit an application, described as the REST API has it (``ApplicationSubmissionContextInfo``).

        Raises:
            YarnError: it is not taken.
        """
        body = json.dumps(application).encode("ascii")
        self._ask("/ws/v1/cluster/apps" + self._as_user(), body, "POST")

    def _as_user(self) -> str:
        return "?user.name=" + urllib.parse.quote(self._user)

    def kill(self, name: str) -> None:
        """Kill an application; one that is over is left as it ended.

        Raises:
            YarnError: it could not be asked for.
        """
        body = json.dumps({"state": "KILLED"}).encode("ascii")
        try:
            self._ask("/ws/v1/cluster/apps/%s/state?user.name=%s" % (name, urllib.parse.quote(self._user)), body)
        except YarnError as refused:
            try:
                done = subprocess.run(
                    ["yarn", "application", "-kill", name],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=KILL_S,
                )
            except (OSError, subprocess.SubprocessError):
                raise refused from None
            if done.returncode:
                raise

    def _ask(self, path: str, body: "Optional[bytes]" = None, method: str = "PUT") -> "Dict[str, Any]":
        failed = ""
        for address in list(self._addresses):
            try:
                content = _fetch(address + path, body, method=method)
                found = json.loads(content.decode("utf-8", "replace")) if content or body is None else {}
            except ValueError:
                failed = "%s is no active ResourceManager" % address
            except YarnError as error:
                failed = str(error)
            else:
                if isinstance(found, dict):
                    self._addresses.remove(address)
                    self._addresses.insert(0, address)
                    return found
        raise YarnError(failed or "no ResourceManager is named in the settings of Hadoop")


def of_namenode(settings: "Mapping[str, str]", path: str) -> "Dict[str, Any]":
    """Ask the NameNode of the default file system over its web address.

    Raises:
        YarnError: it does not answer (or has its web address elsewhere).
        ValueError: it does not answer in JSON.
    """
    host = urllib.parse.urlsplit(settings.get("fs.defaultFS", "")).hostname or "localhost"
    address = settings.get("dfs.namenode.http-address", "%s:9870" % host)
    user = os.environ.get("HADOOP_USER_NAME") or pwd.getpwuid(os.getuid()).pw_name
    content = _fetch(
        "http://%s%s%suser.name=%s" % (address, path, "&" if "?" in path else "?", urllib.parse.quote(user))
    )
    found = json.loads(content.decode("utf-8", "replace"))
    return found if isinstance(found, dict) else {}


def am_container(application: "Application") -> "Optional[Tuple[str, str]]":
    """Address of the NodeManager and name of the container in which the application's driver (or master) runs."""
    found = re.match(r"(https?://[^/]+)/node/containerlogs/([^/]+)", str(application.get("amContainerLogs") or ""))
    return (found.group(1), found.group(2)) if found else None


def read_log(container: "Tuple[str, str]", name: str, offset: int) -> bytes:
    """The bytes of a container's log file from an offset on, while its application runs.

    Empty where there is nothing new, or the file is not there yet.

    Raises:
        YarnError: the NodeManager does not answer, or has the log no more.
    """
    place = "%s/ws/v1/node/containers/%s/logs" % container
    wanted = _size_of(place, name) - offset
    for _ in range(8):
        if wanted <= 0:
            return b""
        content = _fetch("%s/%s?size=-%d" % (place, name, wanted))
        length = _LENGTH.search(content)
        if length is None or CONTENTS not in content:
            raise YarnError("the log of %s cannot be read" % container[1])
        total, body = int(length.group(1)), content.split(CONTENTS, 1)[1]
        given = body[: min(wanted, total)]
        begin = total - len(given)
        if begin <= offset:
            return given[offset - begin :]
        wanted = total - offset  # it grew meanwhile
    return b""


def _size_of(place: str, name: str) -> int:
    try:
        found = json.loads(_fetch(place, accept="application/json").decode("utf-8", "replace"))
        infos = found if isinstance(found, list) else [found]
        for each in infos:
            inner = each.get("containerLogsInfo", each)
            files = inner.get("containerLogInfo") or []
            for file in files if isinstance(files, list) else [files]:
                if file.get("fileName") == name:
                    return int(file.get("fileSize") or 0)
    except (ValueError, AttributeError, TypeError):
        pass
    return 0


def _fetch(url: str, body: "Optional[bytes]" = None, accept: str = "*/*", method: str = "PUT") -> bytes:
    """The answer to a GET, or with a body to another ``method``."""
    headers = {"Accept": accept}
    if body is not None:
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(url, data=body, headers=headers, method="GET" if body is None else method)  # noqa: S310 - http(s) only
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a cluster's own addresses need no proxy
    try:
        with opener.open(request, timeout=ANSWER_S) as answer:
            return bytes(answer.read(LARGEST_ANSWER))
    except urllib.error.HTTPError as error:
        raise YarnError("%s answers %d" % (url.split("?")[0], error.code), error.code) from None
    except (OSError, ValueError) as error:
        raise YarnError("%s does not answer: %s" % (url.split("?")[0], error)) from None
