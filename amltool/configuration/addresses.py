"""Addresses of hosts in a ``.compute``: ``host``, ``host:port``, ``[ipv6]:port``."""

from __future__ import annotations

import re

from amltool.configuration.tree import Findings, Mapping, Scalar, closest

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9_.-]{1,32})?")
_USERNAME = re.compile(r"[^\s:@/\\-][^\s:@/]{0,63}")
_HDINSIGHT = re.compile(r"(?:https?://)?([A-Za-z0-9-]+?)(?:-ssh)?\.azurehdinsight\.net(?:[:/].*)?")
_GUIDANCE = "expected a host name or IP address, optionally with :port (`vm.example.org:2222`)"


def read_address(findings: Findings, root: Mapping, address: str | None, port: int | None) -> tuple[str | None, int]:
    """The host and the port of an address and a ``port`` key (22 where neither says one)."""
    node = root.get("address")
    if address is None or node is None:
        return None, port or 22
    host, found_port = _split(address)
    if host is None or not 1 <= (found_port or port or 22) <= 65535 or found_port == 0:
        # the value is not repeated: a password may stand in it (user:password@host)
        findings.mistake(f"address: {_hint(address) or _GUIDANCE}", node)
        return None, port or 22
    if found_port is not None and port is not None and found_port != port:
        findings.mistake(f"address has port {found_port} and `port` says {port}: keep one of them", root.get("port"))
    return host, found_port or port or 22


def _split(address: str) -> tuple[str | None, int | None]:
    if found := re.fullmatch(r"\[([^\]]*)\](?::([0-9]{1,5}))?", address):
        host, port = found[1], found[2]
        return (host if ":" in host and _IPV6.fullmatch(host) else None), int(port) if port else None
    if address.count(":") > 1:
        return (address if _IPV6.fullmatch(address) else None), None
    host, colon, port = address.partition(":")
    if not _HOST.fullmatch(host) or (colon and not re.fullmatch(r"[0-9]{1,5}", port)):
        return None, None
    return host, int(port) if colon else None


def _hint(address: str) -> str | None:
    if found := _HDINSIGHT.fullmatch(address):
        return f"expected the cluster's SSH address, {found[1]}-ssh.azurehdinsight.net, not that of its web page"
    if "@" in address:
        return f"{_GUIDANCE}; the user goes into `username`"
    return None


def write_address(host: str, port: int, default: int) -> str:
    """The form that ``read_address`` reads back."""
    if ":" in host:
        return f"[{host}]" if port == default else f"[{host}]:{port}"
    return host if port == default else f"{host}:{port}"


def check_address(findings: Findings, root: Mapping, is_cluster: bool) -> None:
    """A target over SSH has an address; HDInsight's is that of its SSH gateway (WORKBENCH 7)."""
    node = root.get("address")
    if not isinstance(node, Scalar) or not node.value:
        if node is None or isinstance(node, Scalar):
            findings.mistake(f"address is missing: {_missing(root, 'address') or _GUIDANCE}", node or root)
        return
    found = _HDINSIGHT.fullmatch(node.text)
    if is_cluster and found and not node.text.lower().startswith(f"{found[1].lower()}-ssh.") and "/" not in node.text:
        findings.mistake(f"address: {_hint(node.text)}", node)


def check_username(findings: Findings, root: Mapping, is_cluster: bool) -> None:
    """A target over SSH has a user; on HDInsight ``admin`` is the web login and cannot use SSH (WORKBENCH 7)."""
    node = root.get("username")
    if node is None or (isinstance(node, Scalar) and not node.value):
        missing = _missing(root, "username") or "expected the user to log in as over SSH"
        findings.mistake(f"username is missing: {missing}", node or root)
    elif isinstance(node, Scalar) and not _USERNAME.fullmatch(node.text):
        findings.mistake("username: expected a user name without blanks, ':', '@' or '/'", node)
    elif isinstance(node, Scalar) and is_cluster and node.text == "admin":
        findings.warning("username: 'admin' is HDInsight's web login; its SSH user is by default 'sshuser'", node)


def _missing(root: Mapping, key: str) -> str | None:
    written = closest(key, [found.text for found, _ in root.entries if len(found.text) <= 64])
    return f"'{written}' is another key" if written is not None and written != key else None
