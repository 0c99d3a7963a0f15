import os


def verify(run):
    assert run.record["status"] == "Completed"
    (omitted,) = run.record["omitted"]
    assert (omitted["path"], omitted["size"]) == ("outputs/huge.bin", 600 * 1024 * 1024)
    assert "512 MB" in omitted["reason"]
    assert os.path.getsize(omitted["place"].split(":", 1)[-1]) == omitted["size"], "it can still be fetched"
    assert "outputs/huge.bin" in run.stderr
    assert run.artifact("outputs/small.txt") == b"small"
