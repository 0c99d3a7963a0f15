def verify(run):
    record = run.record
    assert record["metrics"]["loss"] == {"last": 2.0, "min": 1.0, "max": 3.0, "count": 3}
    assert record["metrics"]["Accuracy"]["last"] == 0.5
    assert record["parameters"] == {"lr": "0.1"}
    assert record["tags"] == {"stage": "candidate"}
    assert record["shared_folder"]["at_start"] == []
    assert [(f["path"], f["size"]) for f in record["shared_folder"]["at_end"]] == [("shared.txt", 5)]
    console = run.artifact("console.log").decode()
    assert console.startswith("True True")
    for name in (
        "AZUREML_RUN_ID", "AZUREML_NATIVE_SHARE_DIRECTORY", "AZUREML_OUTPUT_DIRECTORY", "AZUREML_TARGET_TYPE",
        "AMLTOOL_RUN_ID", "AMLTOOL_COMMIT", "AMLTOOL_PROJECT",
    ):  # fmt: skip
        assert name in console
