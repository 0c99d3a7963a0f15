def verify(run):
    assert run.artifact("console.log") == b"''\n"
