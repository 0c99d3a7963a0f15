"""The tasks: `from amltool.tasks import ns` in a project's tasks.py makes them its own."""

from __future__ import annotations

from amltool.tasks.startup import import_invoke, readable_output

import_invoke()
readable_output()

from invoke.collection import Collection  # noqa: E402 - after import_invoke, which makes it cheap

from amltool.tasks.artifacts import download_asset, outputs, promote, pull_artifacts, push_artifacts  # noqa: E402
from amltool.tasks.collection import collection  # noqa: E402
from amltool.tasks.connecting import attach, detach  # noqa: E402
from amltool.tasks.hooks import hooks  # noqa: E402
from amltool.tasks.looking import check_history, compare, restore, runs, show  # noqa: E402
from amltool.tasks.projects import check, clean, doctor, init, prepare, runconfig, targets  # noqa: E402
from amltool.tasks.rerunning import rerun  # noqa: E402
from amltool.tasks.running import cancel, logs, submit, wait  # noqa: E402

history = Collection("history")
history.add_task(check_history)

asset = Collection("asset")
asset.add_task(download_asset)

exchange = Collection("artifacts")
exchange.add_task(push_artifacts)
exchange.add_task(pull_artifacts)

ns = Collection(
    init, check, submit, runs, show, logs, wait, cancel, outputs, promote, compare, rerun, restore,
    attach, detach, targets, runconfig, prepare, clean, doctor,
)  # fmt: skip
ns.add_collection(exchange)
ns.add_collection(asset)
ns.add_collection(history)
ns.add_collection(hooks)

__all__ = ["collection", "ns"]
