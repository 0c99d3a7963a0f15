"""The start of a run in a container: made, furnished, fed with what to run, once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import chain
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec.structs import replace

from amltool.containers.daemon import ContainerInput, ContainerState, DockerDaemon
from amltool.errors import TargetError, UserError
from amltool.files import no_space
from amltool.hosts.base import Host
from amltool.hosts.local import seen_from_here
from amltool.hosts.run_folders import make_run_folder
from amltool.launchers.base import Expected, Launch
from amltool.launchers.container_spec import (
    ACCOUNTS_IN_CONTAINER,
    ContainerSettings,
    Owner,
    account_of,
    container_spec,
    owner_of,
)
from amltool.launchers.later import Later, Look
from amltool.launchers.process import moments, spec_of
from amltool.layout import LIBRARY_IN_CONTAINER, RUN_IN_CONTAINER, RunFolder

START_S = 30.0
"""How long a fed bootstrap may take to claim its run."""
OTHERS_S = 5.0
"""How long another client may take to feed a container that it made."""
LOOK_EVERY_S = 0.3
FIRST_PAUSE_S, LONGEST_START_PAUSE_S, LONGEST_PAUSE_S = 0.001, 0.05, 0.1


class Waiting(msgspec.Struct, frozen=True):
    """A container whose bootstrap waits for what it is to run."""

    id: str
    mark: str
    owner: Owner
    input: ContainerInput


class ContainerStart:
    """Makes and feeds containers of one daemon."""

    def __init__(self, daemon: DockerDaemon, settings: ContainerSettings, install: Callable[[], object]) -> None:
        self._daemon = daemon
        self._settings = settings
        self._install = install

    def make(self, host: Host, wanted: Expected) -> Waiting:
        """A started container, fed with nothing yet.

        Raises:
            NameTakenError: the run has a container already.
        """
        mark = self._daemon.start_mark()
        owner = owner_of(host, self._daemon, mark)
        self._make_places(host, wanted, account_of(wanted.accounts, owner).accounts)
        container = self._daemon.create(container_spec(host, wanted, self._settings, owner, mark))
        try:
            if not self._settings.shared_volumes:
                self._furnish(host, wanted, container, owner)
            stream = self._daemon.attach(container)
            self._daemon.start(container)
        except BaseException:
            with contextlib.suppress(UserError):
                self._daemon.remove(container)
            raise
        return Waiting(container, mark, owner, stream)

    def _make_places(self, host: Host, wanted: Expected, accounts: str | None) -> None:
        """What is mounted must be there before; the daemon would make it as root, or refuse."""
        try:
            self._install()
            files = {} if accounts is None else {wanted.folder.accounts.name: _encoded(accounts)}
            make_run_folder(host, wanted.folder, [wanted.folder.home.name], files)
            if self._settings.share is not None:
                host.make_folder(self._settings.share)
        except OSError as error:
            raise no_space(error, seen_from_here(host, wanted.folder.path)) from error

    def _furnish(self, host: Host, wanted: Expected, container: str, owner: Owner) -> None:
        """Put into a container what is otherwise mounted, but for the snapshot, which may not be placed yet."""
        from amltool.launchers.copying import Entry, folder_archive, small_entries

        run, library, root = RUN_IN_CONTAINER, LIBRARY_IN_CONTAINER, Owner(0, 0)
        entries = [Entry(str(place), None, 0o755, owner) for place in (run.path, run.home)]
        accounts = account_of(wanted.accounts, owner).accounts
        if accounts is not None:
            entries.append(Entry(str(ACCOUNTS_IN_CONTAINER), _encoded(accounts), 0o644, root))
        folder = folder_archive(host, self._settings.library, library.name, root)
        self._daemon.put(container, "/", chain(small_entries(entries), folder))

    def feed(self, host: Host, launch: Launch, waiting: Waiting) -> TargetError | None:
        """Tell a waiting bootstrap what to run; ``None`` once the run began, else why it never will in there."""
        folder = launch.folder
        if not self._settings.shared_volumes:
            from amltool.launchers.copying import folder_archive

            place = RUN_IN_CONTAINER.work
            snapshot = folder_archive(host, folder.work, place.name, waiting.owner)
            self._daemon.put(waiting.id, str(place.parent), snapshot)
            if host.exists(folder.inputs):
                inputs = folder_archive(host, folder.inputs, folder.inputs.name, waiting.owner)
                self._daemon.put(waiting.id, str(place.parent), inputs)
        spec = spec_of(self._as_in_container(launch, waiting.owner))
        feeding = Later(lambda: waiting.input.feed(spec))  # nobody may take it any more, and Docker does not say so
        look = self._look(waiting.id)
        for _ in moments(START_S, FIRST_PAUSE_S, LONGEST_START_PAUSE_S):
            if self.has_begun(host, folder, waiting.id):
                return None
            if feeding.failure is not None:
                return feeding.failure
            if look.is_answered():
                state = look.answer()
                if state is None or not state.is_running:
                    return None if self.has_begun(host, folder, waiting.id) else self._why_not(host, launch, state)
                look = self._look(waiting.id)
        return TargetError(
            f"Run {launch.run_id} did not start on {host.name}: no {folder.start} after {START_S:g} s.",
            "Look whether its disk is full or it is overloaded, then try again: a run starts once at most.",
        )

    def _as_in_container(self, launch: Launch, owner: Owner) -> Launch:
        """A launch with what a container has beside it: a home, a user, and the proxies that Docker gives to each."""
        name, proxies = account_of(launch.accounts, owner).name, self._daemon.proxies()
        home = {"HOME": str(RUN_IN_CONTAINER.home), "USER": name, "LOGNAME": name}
        passwords = [found for proxy in proxies.values() if (found := _password(proxy))]
        return replace(
            launch,
            environment={**proxies, **home, **launch.environment},
            secrets=[*launch.secrets, *passwords],
        )

    def _why_not(self, host: Host, launch: Launch, state: ContainerState | None) -> TargetError:
        if state is None:
            why = "it was removed"
        elif state.oom_killed:
            why = "out of memory"
        else:
            said = b"".join(self._daemon.output(state.id)).decode("utf-8", "backslashreplace")
            why = said.strip().rpartition("\n")[2] or f"exit code {state.exit_code}"
        return TargetError(
            f"Run {launch.run_id} did not start on {host.name}: its container ended before it ({why}).",
            "Look at its image, and at `memory` in the .compute, then try again: a run starts once at most.",
        )

    def has_begun(self, host: Host, folder: RunFolder, container: str | None) -> bool:
        if host.exists(folder.start) or host.exists(folder.exit):
            return True
        if self._settings.shared_volumes or container is None:
            return False
        from amltool.launchers.copying import read_file

        content = read_file(self._daemon, container, RUN_IN_CONTAINER.start)
        if content is None:
            return False
        host.write(folder.start, content)
        return True

    def make_way(self, host: Host, folder: RunFolder, name: str) -> bool:
        """Whether the run began in the container that another client made; when not, that client died, and what it
        made is gone now."""
        for _ in moments(OTHERS_S, FIRST_PAUSE_S, LONGEST_PAUSE_S):
            if self.has_begun(host, folder, name):
                return True
            state = self._daemon.state(name)
            if state is None:
                return False
            if not state.is_running and not state.is_starting:
                break
        self._daemon.pause(name)  # so that it cannot begin between the look and the removal
        if self.has_begun(host, folder, name):
            self._daemon.resume(name)
            return True
        self._daemon.remove(name)
        return False

    def _look(self, container: str) -> Look[ContainerState | None]:
        return Look(lambda: self._daemon.state(container), LOOK_EVERY_S)


def _password(proxy: str) -> str:
    try:
        return unquote(urlsplit(proxy).password or "")
    except ValueError:  # a list of hosts that need none
        return ""


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
