"""Requests to a storage account: which are made again, how often, and which sentence their end is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from amltool.errors import TargetError
from amltool.stores import blob_requests
from amltool.stores.blob_address import BlobAddress
from amltool.stores.blob_requests import Patience, SpoiledError, is_absent, is_passing, retried, sentence

exceptions = pytest.importorskip("azure.core.exceptions")
ADDRESS = BlobAddress("account", "runs")
SECRET = "sig=c2lnbmF0dXJl"


def answer(status: int, code: str = "", **headers: str) -> Exception:
    """The error of an answer with a status."""
    error = exceptions.HttpResponseError(f"{status} for https://account/runs?{SECRET}")
    error.status_code, error.error_code = status, code
    error.response = SimpleNamespace(headers={key.replace("_", "-"): value for key, value in headers.items()})
    return error


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(blob_requests, "pause", waited.append)
    return waited


PASSING = [
    *(answer(status) for status in (408, 429, 500, 502, 503, 504)),
    answer(400, "Md5Mismatch"),
    exceptions.ServiceRequestError("no route"),
    exceptions.ServiceResponseError("reset"),
    exceptions.IncompleteReadError("cut"),
    SpoiledError("other bytes"),
]
LASTING = [
    *(answer(status) for status in (400, 401, 403, 404, 409, 412, 501)),
    exceptions.ClientAuthenticationError("no"),
    exceptions.ServiceRequestError("certificate verify failed: self-signed"),
    OSError(5, "ours"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_may_pass_is_asked_again(pauses: list[float], error: Exception) -> None:
    answers = iter([error, error, "done"])

    def ask() -> object:
        said = next(answers)
        if isinstance(said, Exception):
            raise said
        return said

    assert retried(ask) == "done"
    assert len(pauses) == 2


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_will_not_pass_is_not_asked_again(pauses: list[float], error: Exception) -> None:
    with pytest.raises(type(error)):
        retried(lambda: (_ for _ in ()).throw(error))
    assert pauses == []


def test_it_ends_after_so_many_tries_with_longer_and_longer_pauses(pauses: list[float]) -> None:
    with pytest.raises(exceptions.HttpResponseError):
        retried(lambda: (_ for _ in ()).throw(answer(503)), Patience(tries=5, first_s=1.0, longest_s=3.0))
    assert len(pauses) == 4
    assert pauses[0] < pauses[1] < 3.8
    assert max(pauses) <= 3.0 * 1.25


def test_the_service_may_ask_for_a_longer_pause_within_bounds(pauses: list[float]) -> None:
    for asked in ("20", "100000", "soon"):
        with pytest.raises(exceptions.HttpResponseError):
            retried(lambda asked=asked: (_ for _ in ()).throw(answer(429, Retry_After=asked)), Patience(tries=2))
    assert pauses[:2] == [20.0, 30.0]
    assert pauses[2] < 1


SENTENCES = [
    (answer(404, "ContainerNotFound"), "az storage container create"),
    (answer(403, "AuthorizationFailure"), r"refuses the sign-in to the container runs \(AuthorizationFailure\)"),
    (answer(401), r"refuses the sign-in to the container runs \(401\)"),
    (answer(503, "ServerBusy"), r"answers with 503 \(ServerBusy\)"),
    (exceptions.ServiceRequestError(f"x {SECRET} [Errno 111] Connection refused"), "connection refused"),
    (exceptions.ServiceResponseError(f"aborted {SECRET}"), "the connection broke"),
    (SpoiledError("other bytes"), "changed on the way"),
]


@pytest.mark.parametrize(("error", "said"), SENTENCES, ids=repr)
def test_each_end_is_a_sentence_with_what_to_do_and_no_secret(error: Exception, said: str) -> None:
    with pytest.raises(TargetError, match=said) as raised, blob_requests.sentences(ADDRESS):
        raise error
    assert raised.value.remedy
    assert SECRET not in str(raised.value)
    assert str(sentence(error, ADDRESS)) == str(raised.value)


def test_a_container_that_is_not_there_is_not_a_blob_that_is_not_there() -> None:
    assert is_absent(answer(404, "BlobNotFound"))
    assert not is_absent(answer(404, "ContainerNotFound"))
    assert not is_passing(answer(404, "BlobNotFound"))
