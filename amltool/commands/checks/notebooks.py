"""Notebooks that are heavy, or lie where a snapshot is (the ancestor's advice: a folder of their own)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from amltool.limits import Level, Limits, Problem, format_size, judge, shown, weigh

SUFFIX = ".ipynb"


def notebook_problems(
    sizes: Mapping[str, int], limits: Limits, largest_outputs: int, read: Callable[[str], bytes | None]
) -> list[Problem]:
    """Notebooks in a folder over the limits, and those whose outputs have more than ``largest_outputs`` bytes.

    ``sizes`` gives the files of the snapshot with their bytes; ``read`` the content of one of them. Only a notebook
    that is itself larger than ``largest_outputs`` is read.
    """
    notebooks = [path for path in sizes if path.endswith(SUFFIX)]
    problems = _in_heavy_folders(notebooks, sizes, limits)
    for path in notebooks:
        if sizes[path] <= largest_outputs:
            continue
        found = output_size(read(path) or b"")
        if found is None:
            message = f"{shown(path)} has {format_size(sizes[path])} and is no notebook that can be read."
            problems.append(Problem("notebook", Level.WARNING, message, "Open it in Jupyter and save it again."))
        elif found > largest_outputs:
            problems.append(_heavy_outputs(path, found, largest_outputs))
    return problems


def _in_heavy_folders(notebooks: Iterable[str], sizes: Mapping[str, int], limits: Limits) -> list[Problem]:
    by_folder: dict[str, list[str]] = {}
    for path in notebooks:
        by_folder.setdefault(path.rpartition("/")[0], []).append(path)
    problems: list[Problem] = []
    for folder, paths in by_folder.items():
        inside = [(path, size) for path, size in sizes.items() if not folder or path.startswith(f"{folder}/")]
        weight = weigh(inside)
        if any(problem.level is Level.ERROR for problem in judge(weight, limits, folder)):
            named = ", ".join(shown(path) for path in paths[:3]) + (f" and {len(paths) - 3} more" if paths[3:] else "")
            where = shown(f"{folder}/") if folder else "the project's own folder"
            message = (
                f"{named}: in a folder over the limits ({where} has {format_size(weight.size)} in "
                f"{weight.files:,} files)."
            )
            remedy = "Move the notebook to a folder of its own, or leave out what it does not need in .amlignore."
            problems.append(Problem("notebook", Level.ERROR, message, remedy))
    return problems


def _heavy_outputs(path: str, found: int, largest: int) -> Problem:
    message = (
        f"{shown(path)}: its outputs have {format_size(found)}, {format_size(found - largest)} more than "
        f"{format_size(largest)}."
    )
    remedy = (
        "Clear them (Jupyter: Edit, Clear Outputs of All Cells) and stage it again; keep results in outputs/.\n"
        "Or raise notebook_output_size in [tool.amltool] of pyproject.toml, or in aml_config/project.yml."
    )
    return Problem("notebook", Level.ERROR, message, remedy)


def output_size(content: bytes) -> int | None:
    """The bytes that the outputs of a notebook take (as compact JSON); ``None`` where it is no notebook.

    Source: nbformat 4, and 3 with its worksheets.
    """
    import json

    try:
        document = json.loads(content)
        sheets = document.get("worksheets", [document])
        cells = [cell for sheet in sheets for cell in sheet.get("cells", [])]
        outputs = [cell.get("outputs", []) for cell in cells]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None
    # ensure_ascii would count a letter beyond ASCII with six bytes
    return sum(
        len(json.dumps(each, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
        for each in outputs
        if each
    )
