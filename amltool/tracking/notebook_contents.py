"""The text of an executed notebook, without what a clock or chance wrote; standard library, Python 3.6.

Two runs that compute the same leave the same bytes: cells that came without an id get one by their place, widgets are
numbered in the order they were made, the kernel's process number is not in the names of its cells, and a cell's
standard output stands before its standard error, since which of two streams was flushed first is chance.
"""

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Set

WIDGETS = "application/vnd.jupyter.widget-state+json"
FIRST_MINOR_WITH_IDS = 5
_STREAMS = ("stdout", "stderr")
_WIDGET_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def ids_in(path: str) -> "Set[str]":
    """The ids of cells that a notebook's file holds; readers give the others ids by chance."""
    try:
        with open(path, "rb") as stream:
            cells = json.loads(stream.read().decode("utf-8"))["cells"]
        return {cell["id"] for cell in cells if isinstance(cell.get("id"), str)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return set()  # what is no notebook is refused by its reader


def settle_ids(notebook: "Any", known: "Set[str]") -> None:
    """Give every cell whose id is not one of the file's an id by its place."""
    if notebook.get("nbformat_minor", 0) < FIRST_MINOR_WITH_IDS:
        return
    taken: "Set[str]" = set()
    for place, cell in enumerate(notebook.cells):
        found = cell.get("id")
        if found not in known - taken:
            found = "amltool-%d" % place
            while found in known | taken:
                found += "-"
        cell["id"] = found
        taken.add(found)


def settled(text: str, notebook: "Any", kernel: "Optional[int]") -> str:
    """The text of a notebook that was written as JSON; ``kernel`` is the kernel's process number."""
    if kernel is not None:
        text = text.replace("ipykernel_%d/" % kernel, "ipykernel/")
    for number, name in enumerate(_widgets(notebook)):
        text = text.replace(name, "%032x" % number)
    content = json.loads(text)
    for cell in content.get("cells", ()):
        if isinstance(cell.get("outputs"), list):
            cell["outputs"] = _by_stream(cell["outputs"])
    return json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True, separators=(",", ": "))


def _by_stream(outputs: "List[Any]") -> "List[Any]":
    """Outputs in their order, what both streams printed between two others together."""
    found: "List[Any]" = []
    open_streams: "Dict[str, Any]" = {}
    for output in outputs:
        name = output.get("name")
        if output.get("output_type") != "stream" or name not in _STREAMS:
            found += [open_streams.pop(each) for each in _STREAMS if each in open_streams]
            found.append(output)
        elif name in open_streams:
            joined = _text(open_streams[name]) + _text(output)
            open_streams[name] = dict(output, text=joined.splitlines(True))
        else:
            open_streams[name] = output
    return found + [open_streams[each] for each in _STREAMS if each in open_streams]


def _text(output: "Any") -> str:
    return "".join(output.get("text", ""))


def _widgets(notebook: "Any") -> "List[str]":
    """The ids of all widgets, in the order they were made."""
    try:
        state = notebook["metadata"]["widgets"][WIDGETS]["state"]
        return [name for name in state if _WIDGET_ID.fullmatch(name)]
    except (LookupError, TypeError):
        return []
