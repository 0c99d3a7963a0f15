"""The contract of stores that show runs which go on, as a suite to inherit from, and a store in memory for tests."""

from __future__ import annotations

import threading

import pytest

from amltool.stores.live import LiveStore, MovedError

RUN, OTHER = "20261201T040000-0123abc-abcd", "20261201T040001-0123abc-abce"
CONSOLE = "console.log"
MOST = 100_000
LONG = bytes(range(256)) * 20_000


class FakeLiveStore:
    """States and files in memory."""

    def __init__(self) -> None:
        self.states: dict[str, bytes] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self._lock = threading.Lock()

    def publish(self, run_id: str, state: bytes) -> None:
        self.states[run_id] = state

    def state(self, run_id: str) -> bytes | None:
        return self.states.get(run_id)

    def runs(self) -> list[str]:
        return sorted(self.states, reverse=True)

    def append(self, run_id: str, path: str, position: int, content: bytes) -> int:
        if len(path) > 1000:
            raise ValueError(path)
        with self._lock:
            files = self.files.setdefault(run_id, {})
            there = files.get(path, b"")
            if len(there) != position:
                raise MovedError(len(there))
            files[path] = there + content
        return position + len(content)

    def lengths(self, run_id: str) -> dict[str, int]:
        return {path: len(content) for path, content in self.files.get(run_id, {}).items()}

    def read(self, run_id: str, path: str, position: int, most: int) -> bytes:
        return self.files.get(run_id, {}).get(path, b"")[position : position + most]

    def restart(self, run_id: str, path: str) -> None:
        self.files.get(run_id, {}).pop(path, None)

    def finish(self, run_id: str) -> None:
        self.files.pop(run_id, None)

    def remove(self, run_id: str) -> None:
        self.finish(run_id)
        self.states.pop(run_id, None)


def read_all(live: LiveStore) -> bytes:
    """The console of a run, read as one who follows it does."""
    got = b""
    while block := live.read(RUN, CONSOLE, len(got), MOST):
        got += block
    return got


class LiveStoreContract:
    """Inherit from it, and give a ``live`` fixture (empty, a new one a test) and `again`, another client of it."""

    @pytest.fixture
    def live(self) -> LiveStore:
        raise NotImplementedError

    def again(self, live: LiveStore) -> LiveStore:
        """The same store as another process opens it."""
        raise NotImplementedError

    def test_the_newest_state_is_read_whole_by_others(self, live: LiveStore) -> None:
        assert live.state(RUN) is None
        live.publish(RUN, b'{"status": "Preparing"}')
        live.publish(RUN, b'{"status": "Running"}')
        assert self.again(live).state(RUN) == b'{"status": "Running"}'

    def test_runs_are_listed_the_newest_first(self, live: LiveStore) -> None:
        assert live.runs() == []
        for run in (RUN, OTHER):
            live.publish(run, b"{}")
        assert self.again(live).runs() == [OTHER, RUN]

    def test_a_file_grows_for_others_to_read(self, live: LiveStore) -> None:
        assert live.append(RUN, CONSOLE, 0, b"one\n") == 4
        follower = self.again(live)
        assert follower.lengths(RUN) == {CONSOLE: 4}
        assert follower.read(RUN, CONSOLE, 0, 100) == b"one\n"
        assert live.append(RUN, CONSOLE, 4, b"two\n") == 8
        assert follower.lengths(RUN) == {CONSOLE: 8}
        assert follower.read(RUN, CONSOLE, 4, 2) == b"tw"
        assert follower.read(RUN, CONSOLE, 8, 100) == b""

    def test_more_bytes_than_one_request_takes_are_added(self, live: LiveStore) -> None:
        assert live.append(RUN, CONSOLE, 0, LONG) == len(LONG)
        assert read_all(self.again(live)) == LONG

    @pytest.mark.parametrize("position", [0, 3, 5, 100])
    def test_bytes_at_another_position_than_the_end_are_refused(self, live: LiveStore, position: int) -> None:
        live.append(RUN, CONSOLE, 0, b"one\n")
        for client in (live, self.again(live)):
            with pytest.raises(MovedError) as raised:
                client.append(RUN, CONSOLE, position, b"other")
            assert raised.value.length == 4
        assert live.read(RUN, CONSOLE, 0, 100) == b"one\n"

    def test_a_client_that_takes_over_goes_on_where_the_file_ends(self, live: LiveStore) -> None:
        live.append(RUN, CONSOLE, 0, b"one\n")
        after = self.again(live)
        after.append(RUN, CONSOLE, after.lengths(RUN)[CONSOLE], b"two\n")
        with pytest.raises(MovedError) as raised:  # the first one lives after all
            live.append(RUN, CONSOLE, 4, b"two\n")
        assert raised.value.length == 8
        assert live.append(RUN, CONSOLE, 8, b"three\n") == 14

    @pytest.mark.parametrize(
        "path", ["logs/a/b.log", "logs/ü ?#.txt", "logs/a\nb%2F\x01\\c", "logs/.x/...", "metrics.jsonl"]
    )
    def test_a_file_has_the_name_that_the_run_gave_it(self, live: LiveStore, path: str) -> None:
        live.append(RUN, path, 0, b"content")
        follower = self.again(live)
        assert follower.lengths(RUN) == {path: 7}
        assert follower.read(RUN, path, 0, 10) == b"content"
        assert follower.lengths(OTHER) == {}

    def test_a_name_that_is_too_long_is_refused_alone(self, live: LiveStore) -> None:
        with pytest.raises(ValueError):
            live.append(RUN, "logs/" + "x" * 2000, 0, b"content")
        live.append(RUN, "logs/x", 0, b"content")
        assert live.lengths(RUN) == {"logs/x": 7}

    def test_a_file_that_began_anew_has_what_it_has_now(self, live: LiveStore) -> None:
        live.append(RUN, CONSOLE, 0, b"long ago")
        live.restart(RUN, CONSOLE)
        live.append(RUN, CONSOLE, 0, b"now")
        assert self.again(live).lengths(RUN) == {CONSOLE: 3}
        assert self.again(live).read(RUN, CONSOLE, 0, 100) == b"now"

    def test_files_of_a_run_that_is_over_are_gone_and_its_state_stays(self, live: LiveStore) -> None:
        live.publish(RUN, b"{}")
        live.append(RUN, CONSOLE, 0, b"one\n")
        live.append(OTHER, CONSOLE, 0, b"other\n")
        for _ in range(2):
            live.finish(RUN)
        follower = self.again(live)
        assert follower.lengths(RUN) == {}
        assert follower.read(RUN, CONSOLE, 0, 100) == b""
        assert follower.state(RUN) == b"{}"
        assert follower.lengths(OTHER) == {CONSOLE: 6}

    def test_a_run_that_never_started_leaves_nothing(self, live: LiveStore) -> None:
        live.publish(RUN, b"{}")
        live.append(RUN, CONSOLE, 0, b"one\n")
        for _ in range(2):
            live.remove(RUN)
        assert self.again(live).state(RUN) is None
        assert self.again(live).runs() == []
