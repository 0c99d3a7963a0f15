"""Names: of artifact stores in a storage account, and of the blobs of a project there."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.errors import UserError
from amltool.layout import BlobLayout
from amltool.stores.blob_address import BlobAddress, parse_blob_address

LAYOUT = BlobLayout("team", "account", "workspace", "iris")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("azure://account/runs", BlobAddress("account", "runs")),
        ("azure://account/runs/", BlobAddress("account", "runs")),
        ("AZURE://account/my-runs/a/b", BlobAddress("account", "my-runs", "a/b")),
    ],
)
def test_an_address_is_read_and_written(text: str, address: BlobAddress) -> None:
    assert parse_blob_address(text) == address
    assert parse_blob_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "azure://", "azure://account", "azure:///runs", "azure://account.blob.core.windows.net/runs", "azure://a/runs",
        "azure://account/Runs", "azure://account/a--b", "azure://account/runs/../x", "azure://account/runs//x",
        "azure://account/runs/a b", "azure://account/runs?x", "azure://account/runs/x.",
        "azure://account/runs/" + "x" * 301,
    ],
)  # fmt: skip
def test_another_form_is_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match="names no container"):
        parse_blob_address(text)


def test_an_artifact_lies_below_its_project_and_its_run() -> None:
    assert LAYOUT.artifact("RUN", "outputs/a/model.pkl") == "team/account/workspace/iris/RUN/outputs/a/model.pkl"


@settings(max_examples=40)
@given(st.lists(st.text(min_size=1).filter(lambda part: "/" not in part), min_size=1, max_size=40).map("/".join))
def test_any_path_has_a_name_that_the_service_keeps(path: str) -> None:
    name = LAYOUT.artifact("RUN", path)

    assert name.startswith("team/account/workspace/iris/RUN/")
    name.encode()
    assert len(name) <= 1024
    assert name.isprintable() or not any(ord(character) < 32 or character == "\\" for character in name)
    assert not any(part.endswith(".") for part in name.split("/"))


@settings(max_examples=40)
@given(st.lists(st.text(max_size=30).filter(lambda path: path.strip("/")), min_size=2, max_size=6, unique=True))
def test_no_two_paths_have_one_name(paths: list[str]) -> None:
    assert len({LAYOUT.artifact("RUN", path) for path in paths}) == len(paths)


def test_names_that_were_no_text_have_a_name_too() -> None:
    assert LAYOUT.artifact("RUN", "outputs/\udcff") != LAYOUT.artifact("RUN", "outputs/\udcfe")
