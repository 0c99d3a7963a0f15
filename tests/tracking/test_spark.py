"""Storage accounts that a script attaches to its Spark."""

from __future__ import annotations

import pytest

from amltool.tracking.spark import attach_storage_container


class _Configuration(dict[str, str]):
    def set(self, name: str, value: str) -> None:
        self[name] = value


class _Context:
    """A driver's context as far as it is asked: the settings of Hadoop in its Java machine."""

    def __init__(self, **known: str) -> None:
        self.settings = _Configuration(known)

    @property
    def _jsc(self) -> _Context:
        return self

    def hadoopConfiguration(self) -> _Configuration:
        return self.settings


class _Session:
    def __init__(self, context: _Context) -> None:
        self.sparkContext = context


@pytest.mark.parametrize("make", [lambda context: context, _Session])
def test_an_account_can_be_read_by_both_of_its_addresses(make: type[_Session]) -> None:
    context = _Context()

    attach_storage_container(make(context), "data", "canary")

    assert context.settings == {
        "fs.azure.account.key.data.blob.core.windows.net": "canary",
        "fs.azure.account.key.data.dfs.core.windows.net": "canary",
    }


def test_a_key_that_the_cluster_has_stays() -> None:
    context = _Context(**{"fs.azure.account.key.data.blob.core.chinacloudapi.cn": "encrypted"})

    attach_storage_container(context, "data", "canary", suffix="core.chinacloudapi.cn")

    assert context.settings["fs.azure.account.key.data.blob.core.chinacloudapi.cn"] == "encrypted"
    assert context.settings["fs.azure.account.key.data.dfs.core.chinacloudapi.cn"] == "canary"
