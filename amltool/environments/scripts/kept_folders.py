"""Tells what lies in the folder of environments of a host: name, whether it is whole, bytes, whether it is being built
just now. Evaluated on that host behind `amltool.hosts.there.looking`: standard library, Python 3.6.
"""
# ruff: noqa: PTH118
# mypy: allow-untyped-defs, allow-untyped-calls

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amltool.hosts.there.looking import is_held, names_in, raw, shown, size_of


def main(folder, *words):
    top = raw(folder)
    marker, locks, settings = map(raw, words)
    held = {name for name in names_in(os.path.join(top, locks)) if is_held(os.path.join(top, locks, name))}
    found = []
    for name in names_in(top):
        if name == locks:
            continue
        place = os.path.join(top, name)
        # the settings of a build are named for none: while anything is built they may be its
        busy = bool(held) if name.startswith(settings) else name in held
        size = 0 if busy else size_of(place)
        found.append([shown(name), os.path.lexists(os.path.join(place, marker)), size, busy])
    return found
