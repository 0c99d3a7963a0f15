def verify(run):
    assert (run.record["status"], run.record["exit_code"], run.exit_code) == ("Failed", 1, 1)
    assert run.artifact("outputs/kept.txt") == b"kept"
    assert run.artifact("console.log") == b"before\nsomething went wrong\n"
