def verify(run):
    listed = run.record["artifacts"]
    assert set(listed) == {"count", "bytes", "sha256", "path"}
    assert listed["count"] >= 1000
    assert run.artifact("outputs/d7/f997.txt") == b"997"
    assert sum(path.startswith("outputs/") for path in run.paths()) == 1000
