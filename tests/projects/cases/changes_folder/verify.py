def verify(run):
    assert run.record["status"] == "Completed"
    assert run.artifact("outputs/before.txt") == b"before"
    assert run.artifact("console.log") == b"./outputs\n"
