"""Parameters of a notebook: from ``NAME=VALUE`` to a cell that sets them; standard library at import, Python 3.6."""

import ast
import keyword
import math
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Tuple

PARAMETERS, INJECTED = "parameters", "injected-parameters"
"""Tags of cells; papermill's words."""
_CONSTANTS = {"None": None, "True": True, "False": False}


class RefusedError(Exception):
    """Something the user can put right; the text says what to do."""


def parameter(argument: str, path: str = "NOTEBOOK") -> "Tuple[str, Any]":
    """Name and value of ``NAME=VALUE``; numbers, True, False and None are such, all else is text, as in papermill."""
    name, given, value = argument.partition("=")
    if not given or not name.isidentifier() or keyword.iskeyword(name):
        raise RefusedError(
            "amltool: %s is no argument of a notebook, which takes NAME=VALUE only.\n"
            "Write for example: amltool submit %s -- rate=0.1 epochs=20" % (ascii(argument), path)
        )
    if value in _CONSTANTS:
        return name, _CONSTANTS[value]
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value


def literal(value: "Any") -> str:
    """A value as Python source."""
    if isinstance(value, float) and not math.isfinite(value):
        return "float(%r)" % repr(value)
    return ascii(value) if isinstance(value, str) else repr(value)


def inject(notebook: "Any", parameters: "Dict[str, Any]", path: str) -> None:
    """Set parameters in a cell after the one tagged ``parameters``; where there is none, before all others."""
    if not parameters:
        return
    if not is_python(notebook):
        raise RefusedError("amltool: %s is not in Python, and parameters can be set in Python notebooks only." % path)
    from nbformat.v4 import new_code_cell

    source = "".join("%s = %s\n" % (name, literal(value)) for name, value in parameters.items())
    cell = new_code_cell("# Parameters\n" + source.rstrip("\n"), metadata={"tags": [INJECTED]})
    if notebook.get("nbformat_minor", 0) < 5:
        cell.pop("id", None)  # ids came with version 4.5
    cells = [one for one in notebook.cells if INJECTED not in one.metadata.get("tags", [])]
    tagged = [at for at, one in enumerate(cells) if PARAMETERS in one.metadata.get("tags", [])]
    if tagged:
        _say_unknown(cells[tagged[0]].source, parameters, path)
    cells.insert(tagged[0] + 1 if tagged else 0, cell)
    notebook.cells = cells


def _say_unknown(source: str, parameters: "Dict[str, Any]", path: str) -> None:
    try:
        known = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    except SyntaxError:
        return  # it may hold what only IPython understands
    for name in sorted(set(parameters) - known):
        sys.stderr.write(
            "amltool: the cell tagged parameters of %s knows no %s; it is set all the same.\n" % (path, name)
        )


def is_python(notebook: "Any") -> bool:
    known = notebook.metadata.get("kernelspec", {}), notebook.metadata.get("language_info", {})
    language = known[0].get("language") or known[1].get("name") or "python"
    return any(word in language.lower() for word in ("python", "pyspark"))
