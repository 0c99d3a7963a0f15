"""This repository's own tasks: what we ship, and what a developer of amltool needs besides."""

from invoke import Context, task

import amltool.tasks


@task
def lint(context: Context) -> None:
    """Format and style, types, the direction of imports, Python 3.6 syntax of what travels."""
    context.run("ruff check . && ruff format --check . && mypy && lint-imports")
    context.run("vermin --quiet --no-tips --violations --eval-annotations -t=3.6- amltool/tracking amltool/hosts/there")


@task
def test(context: Context) -> None:
    """The tests that need no installed service; `make test-all` runs the others, too."""
    context.run("pytest -n auto --dist worksteal -m 'not torture and not component'")


ns = amltool.tasks.collection(__name__)
