"""Every ref, every path on a host and every key in a store that amltool makes is named here."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

import msgspec

NOTES_REF = "refs/notes/amltool/runs"
SNAPSHOTS_REF = "refs/amltool/snapshots"
HISTORY_REF = "refs/amltool/history"
"""The newest tip of the notes that this clone wrote or accepted: a fetch may move the notes back, never this."""

REMOTE_SNAPSHOTS = "refs/amltool/remotes"
"""The folder of the refs that keep the snapshots of other clones, a folder for each Git remote."""

METRICS_FILE = "metrics.jsonl"
CONSOLE_FILE = "console.log"
LOCK_FILE = "environment.lock.json"
"""Names under which these are artifacts of every run."""

RUN_FILE = "run.json"
"""The state of a run, then its record, in a store that other clones read."""

RECORD_FILE = "record.json"
"""The name of a whole record that is too long for a note."""
LARGEST_RECORD = 16 * 1024
"""The most bytes of a record in a note: every further run of the commit writes the note anew."""

LONG_LIST = 200
"""A list with more entries than this becomes an artifact itself."""


def remote_notes_ref(remote: str) -> str:
    """Where the notes of a Git remote are fetched to."""
    return f"refs/notes/remotes/{remote}/amltool/runs"


FETCH_HISTORY = (
    f"git fetch REMOTE '+{NOTES_REF}*:{remote_notes_ref('REMOTE')}*' "
    f"'+{SNAPSHOTS_REF}*:{REMOTE_SNAPSHOTS}/REMOTE/snapshots*' && "
    f"git notes --ref=amltool/runs merge -s cat_sort_uniq {remote_notes_ref('REMOTE')}"
)
"""The command that gets another clone's history, for messages: with ``*`` nothing has to be there yet."""
REFETCH_HISTORY = FETCH_HISTORY.replace("git fetch", "git fetch --refetch", 1)
"""The same where objects are missing that Git takes to be here."""


def pushed_snapshots(tip: str) -> str:
    """The refspec that pushes the snapshots of a clone to a ref of their own: no other clone moves it, so a push of it
    is never refused."""
    return f"{SNAPSHOTS_REF}:{SNAPSHOTS_REF}-{tip}"


class LocalLayout(msgspec.Struct, frozen=True):
    """What amltool keeps in a clone: everything under ``<git common dir>/amltool``."""

    common_dir: Path

    @property
    def folder(self) -> Path:
        return self.common_dir / "amltool"

    @property
    def journal(self) -> Path:
        return self.folder / "runs"

    def journal_entry(self, run_id: str) -> Path:
        return self.journal / run_id

    @property
    def journal_lock(self) -> Path:
        """Held while a run is added to the journal, and while what no run needs is removed from the store."""
        return self.folder / "journal.lock"

    @property
    def history_lock(self) -> Path:
        return self.folder / "history.lock"

    @property
    def put_back(self) -> Path:
        """Says that the history had gone back and was put right, until `history.check` has told it."""
        return self.folder / "history_put_back"

    @property
    def noted_tips(self) -> Path:
        """The file of this clone's tips, for a fetch may take all refs."""
        return self.folder / "noted_tips"

    @property
    def run_number(self) -> Path:
        return self.folder / "run_number"

    @property
    def promotion_lock(self) -> Path:
        """Held while an artifact is promoted, for each promotion of a name has a version of its own."""
        return self.folder / "promotion.lock"

    @property
    def index(self) -> Path:
        return self.folder / "index.sqlite"

    @property
    def index_lock(self) -> Path:
        """Held by whoever brings the index up to date."""
        return self.folder / "index.lock"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def identity(self) -> Path:
        """Which kind of identity signed in to a storage account the last time."""
        return self.cache / "azure_identity"

    @property
    def key(self) -> Path:
        """Random bytes that only this clone has: what its runs are known by is made of them."""
        return self.folder / "key"

    def free_folders(self, host: str) -> Path:
        """Which run folders of a host this clone may use again, a file for each; ``host`` names it, hashed."""
        return self.folder / "folders" / host


class HostLayout(msgspec.Struct, frozen=True):
    """What amltool keeps on a host, under its root (``~/.amltool`` unless the ``.compute`` says otherwise)."""

    root: PurePosixPath

    @property
    def runs(self) -> PurePosixPath:
        return self.root / "runs"

    @property
    def marks(self) -> PurePosixPath:
        """What decides about each run there, out of its own reach: a folder for each, beside ``runs``."""
        return self.root / "marks"

    @property
    def environments(self) -> PurePosixPath:
        return self.root / "environments"

    @property
    def cache(self) -> PurePosixPath:
        return self.root / "cache"

    def turns(self, target: str) -> PurePosixPath:
        """Which runs of a compute target have their turn and which wait, where it takes so many at once."""
        return self.root / "turns" / target

    @property
    def objects(self) -> PurePosixPath:
        """What is kept of the snapshots that were placed from elsewhere, a folder for each clone."""
        return self.cache / "objects"

    @property
    def libraries(self) -> PurePosixPath:
        return self.root / "lib"

    def tracking(self, digest: str) -> PurePosixPath:
        """What travels with runs, once for every version of it."""
        return self.libraries / digest

    def run(self, run_id: str) -> RunFolder:
        return RunFolder(self.runs / run_id)


class RunFolder(msgspec.Struct, frozen=True):
    """The folder of one run on its host (DESIGN 3)."""

    path: PurePosixPath

    @property
    def root(self) -> PurePosixPath:
        """Of the host whose run it is."""
        return self.path.parent.parent

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def marks(self) -> PurePosixPath:
        """What decides about the run: no run can write there, and no container is shown it."""
        return HostLayout(self.root).marks / self.run_id

    @property
    def work(self) -> PurePosixPath:
        """The snapshot; the script's current folder."""
        return self.path / "work"

    @property
    def inputs(self) -> PurePosixPath:
        """The files of other runs that this one reads, a folder for each input."""
        return self.path / "inputs"

    @property
    def outputs(self) -> PurePosixPath:
        return self.work / "outputs"

    @property
    def logs(self) -> PurePosixPath:
        return self.work / "logs"

    @property
    def console(self) -> PurePosixPath:
        return self.path / CONSOLE_FILE

    @property
    def start(self) -> PurePosixPath:
        return self.path / "start.json"

    @property
    def exit(self) -> PurePosixPath:
        return self.path / "exit.json"

    @property
    def metrics(self) -> PurePosixPath:
        return self.path / METRICS_FILE

    @property
    def spark(self) -> PurePosixPath:
        """What is known of the run's applications on a Hadoop cluster."""
        return self.path / "spark.json"

    @property
    def home(self) -> PurePosixPath:
        """The home folder of a run in a container."""
        return self.path / "home"

    @property
    def accounts(self) -> PurePosixPath:
        """What a container sees as ``/etc/passwd``, where its image's does not know the user."""
        return self.path / "passwd"

    @property
    def live(self) -> PurePosixPath:
        """Where ``logs`` and metrics are copied to while the run goes on in a container that shares no folder."""
        return self.path / "live"

    def live_metrics(self, work: PurePosixPath) -> PurePosixPath:
        """The metrics that the script logged until now, where the ``logs`` until now lie below ``work``."""
        return self.live / METRICS_FILE if work == self.live else self.metrics

    @property
    def uses(self) -> PurePosixPath:
        """What the run needs that lies outside of its folder, for all who clean here."""
        return self.marks / "uses.json"

    @property
    def copied_back(self) -> PurePosixPath:
        """Made when all that a container without shared volumes held lies in this folder again."""
        return self.marks / "copied_back.json"

    @property
    def released(self) -> PurePosixPath:
        """Made when the run is recorded: from then on the folder may be reused by the next run."""
        return self.marks / "released.json"

    @property
    def untracked(self) -> PurePosixPath:
        """Made when a run without a record ended: the folder is all there is of it."""
        return self.marks / "untracked.json"

    @property
    def placed(self) -> PurePosixPath:
        """What was placed in ``work``, with the stat data that shows it untouched."""
        return self.marks / "placed.json"


def staging_folder(run_id: str) -> str:
    """Where files of a run lie until all of them are there, in the folder they are brought to."""
    return f".amltool-{run_id}.part"


def share_path(base: PurePosixPath, account: str, workspace: str, project: str) -> PurePosixPath:
    """The shared folder of a project under ``nativeSharedDirectory`` (WORKBENCH 3.3)."""
    return base / account / workspace / project


SHARE_IN_CONTAINER = PurePosixPath("/azureml-share")
"""Where a container sees the shared folder (WORKBENCH 3.3)."""

RUN_IN_CONTAINER = RunFolder(PurePosixPath("/azureml-run"))
"""Where a container sees the run's folder (WORKBENCH 3.4)."""


CLUSTER_FOLDER = PurePosixPath(".amltool")
"""On the default file system of a Hadoop cluster, below the user's home folder."""
CLUSTER_ENVIRONMENTS = CLUSTER_FOLDER / "environments"


def cluster_run_folder(run_id: str) -> PurePosixPath:
    """The folder of a run on the default file system of a cluster; Spark's working directory."""
    return CLUSTER_FOLDER / "runs" / run_id


def cluster_tag(run_id: str) -> str:
    """The tag by which a run's applications are found in YARN (which keeps tags in lower case)."""
    return "amltool-" + re.sub(r"[^A-Za-z0-9_.-]", "-", run_id).lower()


def run_of_tag(tag: str) -> str:
    """The id of the run whose tag it is; empty where it is none of ours."""
    found = re.fullmatch(r"amltool-([0-9]{8})t([0-9]{6}-[0-9a-f]+-[a-z0-9]+)", tag)
    return f"{found[1]}T{found[2]}" if found else ""


def container_name(run_id: str) -> str:
    """The name of a run's container: one run has one."""
    return f"amltool-{run_id}"


LIBRARY_IN_CONTAINER = PurePosixPath("/azureml-lib")
"""Where a container sees what travels with runs."""


LONGEST_BLOB_NAME = 900
"""Characters; the service takes 1,024 and counts what our prefix has."""
LONGEST_BLOB_PART = 250
_ODD_IN_BLOB_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f%\\\ud800-\udfff\ufffe\uffff]")


class BlobLayout(msgspec.Struct, frozen=True):
    """Names of the blobs of one project in a container, below ``prefix``: ``ACCOUNT/WORKSPACE/PROJECT/RUN/outputs/x``.

    What the service or a listing of it would not keep as it is (control characters, a dot at the end of a folder) is
    percent-encoded; a name that is too long is cut and ends in the SHA-256 of the whole.
    """

    prefix: str
    account: str
    workspace: str
    project: str

    @property
    def folder(self) -> str:
        names = [_blob_part(name) for name in (self.account, self.workspace, self.project) if name]
        return "/".join([*([self.prefix] if self.prefix else []), *names])

    @property
    def contents(self) -> str:
        """The folder of the empty blobs that tell under which name the content of a SHA-256 lies."""
        return f"{self.folder}/.amltool/contents/"

    def content(self, sha256: str) -> str:
        return f"{self.contents}{sha256[:2]}/{sha256}"

    def unnamed(self, sha256: str) -> str:
        """Content that no run has a name for."""
        return f"{self.folder}/.amltool/unnamed/{sha256[:2]}/{sha256}"

    @property
    def probe(self) -> str:
        """A blob that never comes to be: a block of it shows that the container takes blocks."""
        return f"{self.folder}/.amltool/probe"

    def run_file(self, run_id: str) -> str:
        return f"{self.folder}/{_blob_part(run_id)}/{RUN_FILE}"

    def live(self, run_id: str) -> str:
        """The folder of what a run wrote until now; empty, or not there, once its artifacts are."""
        return f"{self.folder}/{_blob_part(run_id)}/live/"

    def live_part(self, run_id: str, path: str, number: int = 1) -> str:
        """A file of a run that goes on, or a later part of one that has more appends than a blob takes.

        Raises:
            ValueError: the name is longer than a blob's may be.
        """
        within = "" if number == 1 else f".parts/{number}/"
        parts = [_blob_part(part) for part in path.split("/")]
        name = f"{self.live(run_id)}{within}{'/'.join(parts)}"
        if len(name) > LONGEST_BLOB_NAME or any(len(part.encode()) > LONGEST_BLOB_PART for part in parts):
            raise ValueError(f"a name of {len(name)} characters")
        return name

    def live_file(self, run_id: str, name: str) -> tuple[str, int] | None:
        """The path and the number of the part that a name is of (`live_part`); ``None`` for a foreign one."""
        below = name.removeprefix(self.live(run_id))
        number, later = 1, re.fullmatch(r"\.parts/([2-9]|[1-9][0-9]{1,5})/(.+)", below, re.DOTALL)
        if later is not None:
            number, below = int(later[1]), later[2]
        path = unquote(below, errors="replace")
        return None if below == name or {"", ".", ".."} & set(path.split("/")) or "\0" in path else (path, number)

    def artifact(self, run_id: str, path: str) -> str:
        """An artifact of a run, where a person looks for it."""
        name = "/".join(_blob_part(part) for part in path.split("/"))
        longest = max(map(len, name.split("/")))
        if len(name) > LONGEST_BLOB_NAME - len(self.folder) or longest > LONGEST_BLOB_PART:
            digest = hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()
            top = _blob_part(path.partition("/")[0])[:50]
            name = f"{top}/{digest}"
        return f"{self.folder}/{_blob_part(run_id)}/{name}"


def _blob_part(part: str) -> str:
    text = _ODD_IN_BLOB_NAME.sub(lambda found: quote(found[0].encode("utf-8", "surrogatepass"), safe=""), part)
    return f"{text[:-1]}%2E" if text.endswith(".") else text
