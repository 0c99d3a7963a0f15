"""Every check but the limits, on what `amltool check` looks at: the working folder, the index, or a commit."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from amltool.commands.checks.configuration import configuration_problems
from amltool.commands.checks.ignoring import Looked, ignore_notes, ignore_problems
from amltool.commands.checks.limits import file_problems
from amltool.commands.checks.notebooks import notebook_problems
from amltool.commands.checks.places import place_problems
from amltool.commands.checks.secrets import LARGEST_TEXT, secret_problems
from amltool.commands.checks.subject import LARGEST_FILE
from amltool.commands.opening import Opened
from amltool.configuration.folder import FOLDER, Files, read_if_there, working_files
from amltool.errors import UserError
from amltool.git.listing import Blob, Listing, contents, list_commit, list_index, read_file, staged_blobs
from amltool.git.survey import Survey
from amltool.limits import Problem
from amltool.snapshot import SUBMODULE_MODE


class Seen(msgspec.Struct, frozen=True):
    """What is looked at: what a submit would take of it, and all that Git has beside. ``commit`` ``None``: no commit.

    With ``on_disk`` files that differ from HEAD are read from the working folder.
    """

    opened: Opened
    found: Survey
    listing: Listing
    on_disk: bool
    commit: str | None = None

    def read(self, path: str) -> bytes | None:
        """The content of a file of the project; ``None`` where there is none, or it cannot be read."""
        try:
            if self.on_disk:
                return read_if_there(self.opened.project.root / path, LARGEST_FILE)
            return read_file(self.opened.git, self.listing, path, self.opened.prefix, LARGEST_FILE)
        except (IsADirectoryError, UserError):
            return None

    def texts(self) -> Iterator[tuple[str, bytes | None]]:
        """Path and content of every file that a submit would take, or of those that are staged if any are.

        The content is ``None`` for a file that is too large to look into.
        """
        if not self.on_disk and self.commit is None:
            staged = staged_blobs(self.opened.git, self.opened.prefix)
            if staged is not None:
                yield from ((blob.path, content) for blob, content in contents(self.opened.git, staged, LARGEST_TEXT))
                return
        changed = {change.path for change in self.found.changes if change.size is not None}
        blobs = [
            Blob(file.path, file.object_id)
            for file in self.found.files
            if file.path not in changed and file.mode != SUBMODULE_MODE
        ]
        for blob, content in contents(self.opened.git, blobs, LARGEST_TEXT):
            yield blob.path, content
        for path in changed:
            yield path, self.read(path) if self.found.sizes.get(path, 0) <= LARGEST_TEXT else None


def seen(opened: Opened, found: Survey, *, staged: bool, commit: str | None) -> Seen:
    """What `check` looks at, made ready for the checks."""
    listing = list_commit(opened.git, commit, opened.prefix) if commit else list_index(opened.git, opened.prefix)
    return Seen(opened, found, listing, on_disk=not staged and commit is None, commit=commit)


def problems_and_notes(what: Seen) -> tuple[list[Problem], list[str]]:
    """What the checks find beside the limits on size and number, and plain facts.

    Raises:
        UserError: the settings of a check cannot be used.
    """
    opened, found = what.opened, what.found
    settings = opened.project.settings
    name = found.ignore_file.name if found.ignore_file else None
    all_sizes = {path: max(size, 0) for path, size in found.all_sizes.items()}
    looked = Looked(
        opened.git,
        opened.prefix,
        all_sizes,
        found.ignore_file,
        opened.profile,
        what.commit is None,
        found.contents.submodules_out,
    )
    problems = [
        *file_problems(found.sizes, settings.max_file_size, name),
        *ignore_problems(looked),
        *configuration_problems(_configuration_files(what), all_sizes.keys(), working_files(opened.project.root)),
        *place_problems(opened),
        *secret_problems(what.texts(), settings.secrets_allow),
        *notebook_problems(found.sizes, settings.limits, settings.notebook_output_size, what.read),
    ]
    return problems, ignore_notes(looked)


def _configuration_files(what: Seen) -> Files:
    if what.on_disk:
        return working_files(what.opened.project.root)
    inside = [path[len(FOLDER) + 1 :] for path in what.listing.paths if path.startswith(f"{FOLDER}/")]
    names = sorted(name for name in inside if "/" not in name)
    return Files(what.read, lambda: names)
