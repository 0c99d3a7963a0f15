def verify(run):
    names = {path for path in run.paths() if path.startswith("outputs/")}
    assert names >= {"outputs/plain.txt", "outputs/inner", "outputs/new\nline", r"outputs/not-\xff-utf8", "outputs/" + "x" * 255}
    assert run.artifact("outputs/inner") == b"plain"
    omitted = {entry["path"] for entry in run.record["omitted"]}
    assert omitted == {"outputs/stolen", "outputs/up", "outputs/pipe", "outputs/socket"}
    assert not any("passwd" in path or "folder" in path for path in names)
