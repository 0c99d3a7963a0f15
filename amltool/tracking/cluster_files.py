"""A run's own folder on a cluster's default file system, reached through Spark's Java machine; Python 3.6.

Spark resolves relative paths against the working directory of the file system object that the Java machine keeps for
each file system (``FileSystem.get``). It is set to the run's folder before the script begins, so that two runs of one
user that write ``outputs/x`` do not meet. py4j and the address of the Java machine come from ``spark-submit``.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FOLDERS = ("outputs", "logs")
"""Collected from the run's folder on the file system: the same two as on any target."""


class ClusterFolder:
    """The folder of one run, ``name`` below the home folder of its user; made, and the working directory from now on.

    Raises:
        Exception: whatever py4j raises of the file system: it is full, read-only, in safe mode.
    """

    def __init__(self, name: str) -> None:
        from py4j.java_gateway import GatewayParameters, JavaGateway  # type: ignore[import-not-found,unused-ignore]

        parameters = GatewayParameters(
            port=int(os.environ["PYSPARK_GATEWAY_PORT"]),
            auth_token=os.environ.get("PYSPARK_GATEWAY_SECRET"),
            auto_convert=True,
        )
        self._gateway = JavaGateway(gateway_parameters=parameters)
        self._jvm = self._gateway.jvm  # type: Any
        configuration = self._jvm.org.apache.spark.deploy.SparkHadoopUtil.get().newConfiguration(
            self._jvm.org.apache.spark.SparkConf()
        )
        self._files = self._jvm.org.apache.hadoop.fs.FileSystem.get(configuration)
        self._folder = self._path(self._files.getHomeDirectory(), name)
        self._files.mkdirs(self._folder)
        self._files.setWorkingDirectory(self._folder)

    def spark_version(self) -> str:
        """The version of the cluster's Spark; empty where it does not say."""
        try:
            return str(getattr(self._jvm.org.apache.spark, "package").SPARK_VERSION())  # noqa: B009 - a word of Python
        except Exception:  # whatever py4j raises; nothing depends on it
            return ""

    def log_folder(self) -> str:
        """The folder of this container's log files; empty where this is no container of YARN."""
        return str(self._jvm.java.lang.System.getProperty("spark.yarn.app.container.log.dir") or "")

    def put(self, file: str, name: str) -> None:
        """Copy a file of this machine to a name in the run's folder, whole: under its name it is there or not."""
        beside = self._path(self._folder, name + ".part")
        self._files.copyFromLocalFile(False, True, self._path("file:" + os.path.abspath(file)), beside)
        self._files.rename(beside, self._path(self._folder, name))

    def fetch(self, work: str) -> None:
        """Copy what Spark wrote to ``outputs`` and ``logs`` of the run's folder into those of ``work``."""
        for name in FOLDERS:
            source = self._path(self._folder, name)
            if not self._files.exists(source):
                continue
            for status in self._files.listStatus(source):
                target = os.path.join(work, name, status.getPath().getName())
                if not os.path.lexists(target):  # what the script wrote itself is what it meant
                    self._files.copyToLocalFile(False, status.getPath(), self._path("file:" + target), True)

    def remove(self) -> None:
        """Remove the run's folder."""
        self._files.delete(self._folder, True)

    def close(self) -> None:
        """Let go of the Java machine, which goes on."""
        self._gateway.close()

    def _path(self, *parts: "Any") -> "Any":
        return self._jvm.org.apache.hadoop.fs.Path(*parts)
