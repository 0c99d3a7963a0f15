"""What the pages say is there: commands, options, files, links, and the sentences that users meet."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from amltool.tasks import ns

TOP = Path(__file__).parents[1]
PAGES = sorted([*TOP.glob("[A-Z]*.md"), *(TOP / "examples").glob("*/README.md"), *(TOP / "docs").glob("*.md")])
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
TEST = re.compile(r"tests/[\w/]+(?:\.py)?/?")
COMMAND = re.compile(r"(?:^|[\s`$])(?:amltool|invoke) ([a-z][a-z.]*(?:[ =](?!#)[^`\n]*)?)", re.MULTILINE)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))


def anchors(page: Path) -> set[str]:
    """The anchors of headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" not in link and (not target.exists() or (anchor and anchor not in anchors(target))):
            broken.append(link)
    assert broken == []


@every_page
def test_tests_that_are_named_are_there(page: Path) -> None:
    assert [name for name in TEST.findall(page.read_text()) if not (TOP / name).exists()] == []


def promises() -> list[list[str]]:
    """The rows of docs/reliability.md that promise something: the fault, what happens, what shows it."""
    found, shows = [], False
    for line in (TOP / "docs/reliability.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("|") else []
        shows = bool(cells) and (shows or cells[-1] == "shown by")
        if shows and cells[-1] != "shown by" and not line.startswith("|---"):
            found.append(cells)
    return found


def test_each_promise_names_a_test_that_is_there() -> None:
    rows, shown = promises(), ""
    assert len(rows) > 50
    without = []
    for fault, _, by in rows:
        shown = shown if by.startswith("same") else by
        files = [TOP / name for name in TEST.findall(shown)]
        if not files or not all(_has_a_test(file) for file in files):
            without.append(fault)
    assert without == []


def _has_a_test(place: Path) -> bool:
    files = [place] if place.is_file() else [*place.rglob("*.py")]
    holds = re.compile(r"def test_|^class Test", re.MULTILINE)
    return any(file.name == "verify.py" or holds.search(file.read_text()) for file in files)


def test_the_modules_that_the_walk_of_a_run_names_are_there() -> None:
    modules = [f"/{path.relative_to(TOP)}" for path in (TOP / "amltool").rglob("*.*")]
    walk = (TOP / "docs/architecture.md").read_text().split("\n## One run")[1].split("\n## ")[0]
    named = set(re.findall(r"[\w/]+\.(?:py|sh)\b", walk)) - {"train.py"}
    assert len(named) > 40
    assert [name for name in named if not any(module.endswith(f"/{name}") for module in modules)] == []


def commands(page: Path) -> Iterator[list[str]]:
    """The commands in blocks for the console, and those between backticks that have an option or an argument."""
    text = page.read_text()
    shown = [line for block in FENCE.findall(text) for line in block.splitlines() if line.startswith("$ ")]
    shown += [line for line in text.splitlines() if line.startswith("    ") and not line.lstrip().startswith("|")]
    shown += re.findall(r"`((?:amltool|invoke) [^`]+)`", FENCE.sub("", text))
    for line in shown:
        for found in COMMAND.findall(line):
            yield shlex.split(re.split(r"[;|)]| and |  #|\s#", found)[0].rstrip("….,"), posix=True)


@cache
def options() -> dict[str, set[str]]:
    """Every task, by each of its names, with its options."""
    found: dict[str, set[str]] = {}
    for context in ns.to_contexts():
        names = {
            str(name).replace("_", "-")
            for argument in context.args.values()
            if not argument.positional
            for name in argument.names
        }
        flags = {f"-{name}" if len(name) == 1 else f"--{name}" for name in names}
        found |= dict.fromkeys((str(context.name), *context.aliases), flags)
    return found


@every_page
def test_commands_that_are_shown_are_there(page: Path) -> None:
    wrong = []
    for name, *words in commands(page):
        before_arguments = words[: words.index("--")] if "--" in words else words
        flags = {word.partition("=")[0] for word in before_arguments if re.match(r"--?[a-z]", word)}
        if name not in options() or not flags <= options()[name]:
            wrong.append((name, *words))
    assert wrong == []


def test_commands_are_found_in_the_pages_at_all() -> None:
    assert ["submit", "--target", "docker", "train.py"] in [*commands(TOP / "docs/docker.md")]
    assert ["show", "@"] in [*commands(TOP / "examples/iris/README.md")]


class _Sentences(ast.NodeVisitor):
    """Every text of a module, with an ellipsis for what is filled in."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.texts.append(re.sub(r"\{\w*\}", "…", node.value))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        parts = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values]
        self.texts.append("".join(parts))
        self.generic_visit(node)


@cache
def said() -> list[str]:
    """Every text in the package."""
    sentences = _Sentences()
    for module in sorted((TOP / "amltool").rglob("*.py")):
        sentences.visit(ast.parse(module.read_text()))
    return sentences.texts


def refusals() -> list[str]:
    """What docs/docker.md says amltool says."""
    section = (TOP / "docs/docker.md").read_text().split("## When something is refused")[1]
    first_cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [sentence for cell in first_cells for sentence in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("sentence", refusals())
def test_a_refusal_that_is_explained_is_said_like_that(sentence: str) -> None:
    pattern = re.compile(".*".join(re.escape(part.strip()) for part in sentence.split("…")), re.DOTALL)
    assert any(pattern.search(text) for text in said())


def test_the_labels_that_are_named_are_those_that_are_set() -> None:
    named = set(re.findall(r"`(amltool\.[a-z]+)`", (TOP / "docs/docker.md").read_text()))
    assert named
    assert named <= set(said())


def test_reasons_in_the_table_of_ends_are_the_recorded_ones() -> None:
    section = (TOP / "docs/docker.md").read_text().split("## What became of the run")[1].split("\n## ")[0]
    reasons = re.findall(r"`Failed`, `([^`]+)`", section)
    assert len(reasons) > 5
    unknown = [reason for reason in reasons if not any(re.search(_as_said(reason), text) for text in said())]
    assert unknown == []


def _as_said(reason: str) -> str:
    return ".*".join(re.escape(part) for part in reason.split("…"))
