"""For scripts that use Spark: reach a Blob storage account that the cluster was not set up with; Python 3.6.

The documentation of Azure ML Workbench had every project copy this function ("How to use HDInsight Spark").
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SERVICES = ("blob", "dfs")
"""``wasb(s)://`` paths name the account's ``blob`` host, ``abfs(s)://`` paths its ``dfs`` host."""


def attach_storage_container(spark: "Any", account: str, key: str, suffix: str = "core.windows.net") -> None:
    """Let a ``SparkSession`` (or its driver's context) read and write the containers of a storage account.

    Paths are then ``wasbs://CONTAINER@ACCOUNT.blob.core.windows.net/...`` or
    ``abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/...``. A key that the cluster has for the account already stays.
    Take ``key`` from an environment variable of the run, never from a file of the repository; ``suffix`` is another in
    sovereign clouds (``core.chinacloudapi.cn``, ``core.usgovcloudapi.net``).
    """
    context = getattr(spark, "sparkContext", spark)
    configuration = context._jsc.hadoopConfiguration()
    for service in _SERVICES:
        name = "fs.azure.account.key.%s.%s.%s" % (account, service, suffix)
        if not configuration.get(name):
            configuration.set(name, key)
