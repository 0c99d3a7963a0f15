"""A user's own tasks joined with ours, for a ``tasks.py`` that has both."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invoke.collection import Collection


def collection(module: ModuleType | str, ours: Collection | None = None) -> Collection:
    """Our tasks and those of a module in one namespace; where both have a name, the user's is kept.

    To stand at the end of a ``tasks.py``: ``ns = amltool.tasks.collection(__name__)``. Like Invoke it takes the
    module's tasks; a collection is added with ``ns.add_collection``. A task of ours that gave way is still there as
    ``amltool NAME``.

    Args:
        module: the module, or its ``__name__``.
        ours: the tasks to join with; default: all of amltool's.

    Raises:
        TypeError: there is no module of that name.
    """
    from invoke.collection import Collection
    from invoke.tasks import Task

    if ours is None:
        from amltool import tasks

        ours = tasks.ns
    namespace = sys.modules.get(module) if isinstance(module, str) else module
    if not isinstance(namespace, ModuleType):
        raise TypeError(f"{module!r} is no module: collection(__name__) is what belongs in tasks.py")
    joined = Collection()
    for value in vars(namespace).values():
        if isinstance(value, Task) and all(value is not task for task in ours.tasks.values()):
            joined.add_task(value)
    taken = {name for primary, aliases in joined.task_names.items() for name in (primary, *aliases)}
    for name, task in ours.tasks.items():
        if name not in taken:
            joined.add_task(task, name=name)
    for name, part in ours.collections.items():
        if name not in taken:
            joined.add_collection(part, name=name)
    return joined
