"""Tasks about Git hooks: hooks.install, hooks.uninstall, and hooks.run, which other hook managers call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.context import Context

from amltool.tasks.arguments import remainder_arguments, task
from amltool.tasks.failures import Outcome
from amltool.tasks.running import JSON_HELP
from amltool.tasks.watching import print_json

if TYPE_CHECKING:
    from amltool.git.hook_scripts import HookChange


@task(
    help={
        "strict": "a hook that cannot look refuses, as the setting strict_hooks says",
        "json": JSON_HELP,
    },
)
def install(context: Context, *, strict: bool = False, json: bool = False) -> None:
    """Install Git hooks that know the limits; a hook that stands there is kept and run first."""
    from pathlib import Path

    from amltool.commands.hooks import install_hooks

    _show(install_hooks(Path.cwd(), strict=strict), json=json)


@task(help={"json": JSON_HELP})
def uninstall(context: Context, *, json: bool = False) -> None:
    """Take our Git hooks away; what stood there before is put back."""
    from pathlib import Path

    from amltool.commands.hooks import uninstall_hooks

    _show(uninstall_hooks(Path.cwd()), json=json)


@task(script_arguments=True, help={"hook": "which hook Git is running; its arguments after --"})
def run(context: Context, hook: str) -> Outcome:
    """Answer one Git hook, for scripts that amltool did not install; only a refusal (exit code 10) is not 0."""
    from amltool.hooks.git_hooks import HookExit, main

    ended = main([hook, *remainder_arguments(context)])
    return Outcome(int(HookExit.PASSED if ended == HookExit.BROKEN else ended))


def _show(changes: tuple[HookChange, ...], *, json: bool) -> None:
    if json:
        print_json(
            [
                {
                    "name": change.name,
                    "done": change.done.name.lower(),
                    "reason": change.reason,
                    "place": str(change.place),
                }
                for change in changes
            ]
        )
        return
    width = max(len(change.name) for change in changes)
    for change in changes:
        reason = f": {change.reason}" if change.reason else ""
        print(f"{change.name:<{width}}  {change.done.value}{reason}  ({change.place})")


hooks = Collection("hooks", install, uninstall, run)
