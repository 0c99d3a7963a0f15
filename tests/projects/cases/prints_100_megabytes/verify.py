import hashlib


def verify(run):
    expected = hashlib.sha256((b"x" * 1023 + b"\n") * (100 * 1024)).hexdigest()
    assert next(a["sha256"] for a in run.record["artifacts"] if a["path"] == "console.log") == expected
    assert run.record["status"] == "Completed"
