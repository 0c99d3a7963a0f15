def verify(run):
    assert (run.record["status"], run.record["signal"], run.record["exit_code"]) == ("Failed", "SIGSEGV", None)
    assert run.exit_code == 128 + 11
    assert run.artifact("outputs/kept.txt") == b"kept"
