"""A project with a long run history, as a well-kept clone has it: 100,000 runs on 20,000 commits, packed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from measuring import BenchmarkError, Command
from surroundings import Surroundings, surroundings

RUNS = 100_000
COMMITS = 20_000
GIGABYTES = 3
NOTES = "refs/notes/amltool/runs"


@dataclass(frozen=True, slots=True)
class LargeHistory:
    """Where it is, the average size of a record in bytes, and the id of a run from the middle of it."""

    folder: Path
    surroundings: Surroundings
    record_size: int
    run_id: str

    def amltool(self, *arguments: str) -> Command:
        return self.surroundings.program(self.folder, "amltool", *arguments)

    @property
    def index(self) -> Path:
        return self.folder / ".git" / "amltool" / "index.sqlite"

    def delete_index(self) -> None:
        """Take away the index, so that the next question makes it from nothing."""
        if not self.index.exists():
            raise BenchmarkError(f"There is no index in {self.index}: what would be measured is not what is meant.")
        for place in self.index.parent.glob(f"{self.index.name}*"):
            place.unlink()


@contextmanager
def large_history(programs: Path) -> Iterator[LargeHistory]:
    """Make it on a disk of its own; its index is not there yet."""
    with surroundings(programs, GIGABYTES) as place:
        folder = place.folder / "project"
        folder.mkdir()
        (folder / "train.py").write_text("print('hello')\n")
        place.git(folder, "init", "--quiet").run()
        _commit(place, folder, "a script")
        place.program(folder, "amltool", "init").run()
        _commit(place, folder, "a project")
        script = str(Path(__file__).resolve().parent / "recorded_runs.py")
        place.program(folder, "python", script, str(folder), str(RUNS), str(COMMITS)).run()
        place.git(folder, "reset", "--quiet", "--hard").run()
        place.git(folder, "gc", "--quiet").run()
        size, middle = _look(place, folder)
        yield LargeHistory(folder, place, size, middle)


def _commit(place: Surroundings, folder: Path, message: str) -> None:
    place.git(folder, "add", "--all").run()
    place.git(folder, "commit", "--quiet", "--message", message).run()


def _look(place: Surroundings, folder: Path) -> tuple[int, str]:
    """The average size of a record in the last note, and the id of a run in the middle of the history."""
    last = place.git(folder, "notes", f"--ref={NOTES}", "show", "HEAD").run()
    middle = place.git(folder, "notes", f"--ref={NOTES}", "show", f"HEAD~{COMMITS // 2}").run()
    run_id = middle.partition(b'"run_id":"')[2].partition(b'"')[0].decode()
    return len(last) // last.count(b"\n"), run_id
