def verify(run):
    assert (run.record["status"], run.record["exit_code"], run.exit_code) == ("Failed", 7, 7)
    assert run.artifact("outputs/kept.txt") == b"kept"
