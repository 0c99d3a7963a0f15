"""Scripts written for Azure ML run unchanged: what each call of the ancestor's modules does here."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tracking.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("azureml")


def context() -> Any:
    from azureml.core import Run

    return Run.get_context()


class TestTheWorkbenchLogger:
    def logger(self) -> Any:
        from azureml.logging import get_azureml_logger

        return get_azureml_logger()

    def test_it_logs_scalars_texts_lists_and_arrays(self, inside: RunFolder) -> None:
        numpy = pytest.importorskip("numpy")

        self.logger().log("Accuracy", numpy.float64(0.97)).wait()
        self.logger().log("Model", "logistic")
        self.logger().log("Precision", [0.5, 1])
        self.logger().log("Recall", numpy.array([1.0, 0.5]))

        assert [entry[:3] for entry in inside.logged()] == [
            ("metric", "Accuracy", 0.97),
            ("metric", "Model", "logistic"),
            ("list", "Precision", [0.5, 1]),
            ("list", "Recall", [1.0, 0.5]),
        ]

    @pytest.mark.parametrize("content", ["text", b"text", io.BytesIO(b"text"), io.StringIO("text")])
    def test_it_uploads_content_into_outputs(self, inside: RunFolder, content: Any) -> None:
        self.logger().upload("notes/a.txt", content).wait()

        assert (inside.work / "outputs" / "notes" / "a.txt").read_bytes() == b"text"

    def test_by_hand_it_does_not_fail(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        self.logger().log("Accuracy", 1).wait()
        self.logger().upload("a.txt", "text").wait()

        assert capsys.readouterr().err.count("this is no run of amltool") == 1
        assert list(tmp_path.rglob("a.txt")) == []

    def test_its_oldest_name_gives_the_same(self) -> None:
        from azureml.sdk import data_collector

        assert data_collector.current_run() is self.logger()


class TestTheRunOutsideARun:
    """Texts as azureml-core 1.61 prints them."""

    @pytest.mark.parametrize(
        ("call", "said"),
        [
            (lambda run: run.log("a", 1), "Attempted to log scalar metric a:\n1\n"),
            (lambda run: run.log_list("a", [1]), "Attempted to log list metric a:\n[1]\n"),
            (lambda run: run.log_row("a", x=1), "Attempted to log row metric a:\n{'x': 1}\n"),
            (lambda run: run.log_table("a", {"x": [1]}), "Attempted to log table metric a:\n{'x': [1]}\n"),
            (lambda run: run.log_image("a", path="b.png"), "Attempted to log image metric a:\nb.png\n"),
            (lambda run: run.log_residuals("a", {}), "Attempted to log residual metric a:\n{}\n"),
            (lambda run: run.log_confusion_matrix("a", {}), "Attempted to log confusion_matrix metric a:\n{}\n"),
            (lambda run: run.tag("a"), "Attempted to add tag a with value None\n"),
            (lambda run: run.set_tags({"a": "b"}), "Attempted to set tags {'a': 'b'}\n"),
            (lambda run: run.add_properties({"a": "b"}), "Attempted to add properties {'a': 'b'}\n"),
            (lambda run: run.upload_file("a", "b"), "Attempted to track file a at b\n"),
            (lambda run: run.upload_folder("a", "b"), "Attempted to track folder a at b\n"),
            (
                lambda run: run.upload_files(["a"], ["b"]),
                "Attempted to track files ['a'] at ['b'] with timeout Nones\n",
            ),
            (lambda run: run.fail("why", "X"), "Run failed with error code X:\nwhy\n"),
            (lambda run: (run.complete(), run.cancel()), ""),
        ],
    )
    def test_it_says_what_would_have_been_done(
        self, call: Callable[[Any], Any], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        call(context())

        assert capsys.readouterr().out == said

    def test_its_id_says_what_it_is(self) -> None:
        from azureml.core.run import _OfflineRun

        assert context().id.startswith("OfflineRun_")
        assert context().child_run("fold").id.endswith(".fold")
        assert isinstance(context(), _OfflineRun)
        assert type(context()).__name__ == "_OfflineRun"

    def test_as_a_context_it_says_start_and_stop(self, capsys: pytest.CaptureFixture[str]) -> None:
        with context() as run:
            pass

        assert capsys.readouterr().out == f"[START] Run {run.id} context\n[STOP] Run {run.id} context\n"

    def test_it_cannot_make_children_and_says_what_can(self) -> None:
        with pytest.raises(AttributeError, match=r"has no attribute 'create_children': .*amltool submit"):
            context().create_children(3)

    def test_without_offline_it_is_an_error(self) -> None:
        from azureml.core.run import Run
        from azureml.exceptions import RunEnvironmentException

        with pytest.raises(RunEnvironmentException, match="Could not load a submitted run, if outside"):
            Run.get_context(allow_offline=False)

    def test_the_name_of_2017_works_by_hand(self, capsys: pytest.CaptureFixture[str]) -> None:
        from azureml.core.run import Run

        assert Run.get_submitted_run().id.startswith("OfflineRun_")
        assert "use Run.get_context() instead" in capsys.readouterr().err


class TestTheRun:
    def test_it_is_one_and_knows_its_id(self, inside: RunFolder) -> None:
        from azureml.core import Run
        from azureml.core.run import _SubmittedRun

        run = Run.get_context()

        assert run is Run.get_submitted_run()
        assert isinstance(run, Run)
        assert isinstance(run, _SubmittedRun)
        assert run.id == "20261121T081502-3f9c2ab-k4qd"

    def test_it_logs_scalars_and_the_repr_of_others(self, inside: RunFolder) -> None:
        numpy = pytest.importorskip("numpy")

        context().log("a", numpy.int32(3), "the third", step=2)
        context().log("a", numpy.array([1, 2]))
        context().log("a", (1, 2))

        assert [value for _, _, value, _ in inside.logged()] == [3, "array([1, 2])", "(1, 2)"]
        assert inside.entries()[0]["description"] == "the third"
        assert inside.entries()[0]["step"] == 2

    @pytest.mark.parametrize("value", [[1], range(3), (n for n in range(3))])
    def test_a_list_is_logged_as_a_list_by_log(self, inside: RunFolder, value: Any) -> None:
        expected = list(value) if not hasattr(value, "send") else [0, 1, 2]

        context().log("a", value if not hasattr(value, "send") else (n for n in range(3)))

        assert [entry[:3] for entry in inside.logged()] == [("list", "a", expected)]

    def test_lists_rows_and_tables(self, inside: RunFolder) -> None:
        context().log_list("list", range(3), description="counted")
        context().log_row("row", "described", x=1, y="b")
        context().log_table("table", {"x": [1, 2], "y": ["a", "b"]})

        assert [entry[:3] for entry in inside.logged()] == [
            ("list", "list", [0, 1, 2]),
            ("row", "row", {"x": 1, "y": "b"}),
            ("table", "table", {"x": [1, 2], "y": ["a", "b"]}),
        ]

    @pytest.mark.parametrize(
        ("call", "said"),
        [
            (lambda run: run.log_row("a", x=[1]), "Rows cannot contain list values, column x contains a list."),
            (
                lambda run: run.log_table("a", {"x": [1], "y": [1, 2]}),
                "Columns must have the same length, column x had length 1, however, column y had length 2.",
            ),
            (
                lambda run: run.log_table("a", [1]),
                "Argument [Table] is of invalid type. Expected type: [dict[string]: column]",
            ),
            (lambda run: run.log_image("a"), "Invalid parameters, one of path and plot is required as input"),
            (
                lambda run: run.log_image("a", "b", "c"),
                "Invalid parameters, path and plot were both provided, only one at a time is supported",
            ),
            (lambda run: run.log_confusion_matrix("a", "{"), "Invalid JSON provided"),
        ],
    )
    def test_wrong_calls_are_refused_in_the_ancestors_words(
        self, inside: RunFolder, call: Callable[[Any], Any], said: str
    ) -> None:
        from azureml.exceptions import UserErrorException

        with pytest.raises(UserErrorException) as refused:
            call(context())

        assert refused.value.message == said
        assert not inside.metrics.exists()

    @pytest.mark.parametrize("chart", ["confusion_matrix", "accuracy_table", "residuals", "predictions"])
    def test_charts_are_tables_from_json_or_a_mapping(self, inside: RunFolder, chart: str) -> None:
        value = {"schema_type": chart, "data": {"class_labels": ["a"], "matrix": [[1]]}}

        getattr(context(), f"log_{chart}")("chart", value)
        getattr(context(), f"log_{chart}")("chart", json.dumps(value))

        assert [entry[:3] for entry in inside.logged()] == [("table", "chart", value)] * 2
        assert inside.entries()[0]["chart"] == chart

    def test_metrics_are_read_back_as_the_service_gave_them(self, inside: RunFolder) -> None:
        run = context()
        run.log("once", 1)
        run.log("twice", float("inf"))
        run.log("twice", 2)
        run.log_list("list", [1])
        run.log_list("list", [2])
        run.log_row("row", x=1)
        run.log_row("rows", x=1)
        run.log_row("rows", x=2)
        run.log_table("table", {"x": [1, 2]})
        run.tag("not a metric")

        assert run.get_metrics() == {
            "once": 1,
            "twice": [float("inf"), 2],
            "list": [1, 2],
            "row": {"x": 1},
            "rows": {"x": [1, 2]},
            "table": {"x": [1, 2]},
        }
        assert run.get_metrics("once") == {"once": 1}

    def test_tags_and_properties_are_apart(self, inside: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AMLTOOL_COMMIT", "3f9c2ab")
        run = context()
        run.tag("baseline")
        run.set_tags({"by": "Ada"})
        run.set_tags("plain")
        run.add_properties({"BuildId": "7"})

        assert run.get_tags() == run.tags == {"baseline": None, "by": "Ada", "plain": None}
        assert run.get_properties()["BuildId"] == "7"
        assert run.properties["azureml.git.commit"] == "3f9c2ab"
        assert {kind for kind, _, _, _ in inside.logged()} == {"tag"}

    def test_files_are_put_into_outputs(self, inside: RunFolder, tmp_path: Path) -> None:
        (tmp_path / "model.pkl").write_bytes(b"model")
        (tmp_path / "data" / "sub").mkdir(parents=True)
        (tmp_path / "data" / "sub" / "b.csv").write_text("b")
        run = context()

        run.upload_file("outputs/model.pkl", str(tmp_path / "model.pkl"))
        run.upload_file("stream.txt", io.BytesIO(b"stream"))
        run.upload_files(["one.pkl"], [str(tmp_path / "model.pkl")])
        run.upload_folder("data", str(tmp_path / "data"))

        assert run.get_file_names() == [
            "outputs/data/sub/b.csv",
            "outputs/model.pkl",
            "outputs/one.pkl",
            "outputs/stream.txt",
        ]

    def test_outputs_uploaded_into_outputs_do_not_grow_for_ever(self, inside: RunFolder) -> None:
        (inside.work / "outputs" / "models").mkdir()
        (inside.work / "outputs" / "a.txt").write_text("a")

        context().upload_folder("models", "outputs")
        context().upload_folder("outputs", "outputs")

        assert context().get_file_names() == ["outputs/a.txt", "outputs/models/a.txt"]

    def test_a_file_of_the_run_can_be_had_back(self, inside: RunFolder) -> None:
        context().upload_file("model.pkl", io.BytesIO(b"model"))

        context().download_file("model.pkl", "copy.pkl")
        context().download_file("outputs/model.pkl")
        context().download_files("outputs/", "all", append_prefix=False)

        for name in ("copy.pkl", "model.pkl", "all/model.pkl"):
            assert (inside.work / name).read_bytes() == b"model"

    def test_a_file_that_is_not_there_is_said(self, inside: RunFolder) -> None:
        from azureml.exceptions import UserErrorException

        with pytest.raises(UserErrorException, match="File with path gone was not found,\navailable files include"):
            context().upload_file("a", "gone")
        with pytest.raises(UserErrorException, match="File with path gone was not found"):
            context().download_file("gone")
        with pytest.raises(TypeError, match="names and paths must be lists of equal lengths"):
            context().upload_files(["a"], [])

    def test_details_are_those_of_a_run_that_runs(self, inside: RunFolder) -> None:
        (inside.path / "start.json").write_text('{"started": "2026-11-21T08:15:03.000Z"}')
        (inside.work / "logs" / "train.log").write_text("")

        details = context().get_details()

        assert details["runId"] == "20261121T081502-3f9c2ab-k4qd"
        assert details["status"] == context().get_status() == "Running"
        assert details["startTimeUtc"] == "2026-11-21T08:15:03.000Z"
        assert details["logFiles"] == {"logs/train.log": "logs/train.log"}
        assert list(context().get_children()) == []

    def test_fail_is_noted_and_the_script_goes_on(self, inside: RunFolder) -> None:
        with context() as run:
            run.fail(ValueError("no data"), "DataError")
            run.complete()
            run.flush(timeout_seconds=5)

        assert run.get_tags() == {"error_code": "DataError", "error": "User program failed with ValueError: no data"}

    def test_cancel_says_that_it_does_nothing(self, inside: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
        context().cancel()

        assert capsys.readouterr().err == "amltool: cancel is not supported for submitted runs.\n"

    @pytest.mark.parametrize(
        ("call", "instead"),
        [
            (lambda run: run.create_children(count=2), "amltool submit"),
            (lambda run: run.child_run("fold"), "amltool submit"),
            (lambda run: run.submit_child(None), "amltool submit"),
            (lambda run: run.register_model("m"), "amltool outputs"),
            (lambda run: run.get_secret("key"), r"\$\{keyring:service/user\}"),
            (lambda run: run.experiment, "AMLTOOL_PROJECT"),
            (lambda run: run.wait_for_completion(), "amltool wait"),
            (lambda run: type(run).list(None), "amltool runs"),
        ],
    )
    def test_what_needs_the_service_says_what_to_do_instead(
        self, inside: RunFolder, call: Callable[[Any], Any], instead: str
    ) -> None:
        from azureml.exceptions import AzureMLException

        with pytest.raises(AzureMLException, match=r"Run\.\w+ is not there in amltool: .*" + instead):
            call(context())

    def test_other_names_of_the_real_package_are_explained(self) -> None:
        with pytest.raises(ImportError, match=r"azureml\.core\.Workspace needs the Azure ML service"):
            from azureml.core import Workspace  # noqa: F401

        import azureml.core

        assert not hasattr(azureml.core, "anything")

    @pytest.mark.parametrize("module", ["core.model", "core.workspace", "core.dataset", "train", "widgets"])
    def test_a_module_that_is_not_here_is_explained(self, module: str) -> None:
        import importlib

        import azureml.core  # noqa: F401

        with pytest.raises(ModuleNotFoundError, match=rf"azureml\.{module}.* which amltool does without"):
            importlib.import_module(f"azureml.{module}")

    def test_an_attribute_that_a_run_has_not_says_where_to_look(self, inside: RunFolder) -> None:
        assert not hasattr(context(), "anything")
        with pytest.raises(AttributeError, match=r"'Run' object has no attribute 'anything'.*docs/tracking\.md"):
            _ = context().anything

    def test_every_task_that_is_named_instead_is_there(self) -> None:
        import re

        from azureml.core._service import INSTEAD

        from amltool.tasks import ns

        named = {name for sentence in INSTEAD.values() for name in re.findall(r"`amltool ([a-z.]+)", sentence)}
        assert named
        assert named <= set(ns.task_names)


def block(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"type": f"Microsoft.DPrep.{kind}", "arguments": arguments}


IRIS_COLUMNS = ("Sepal Length", "Sepal Width", "Petal Length", "Petal Width", "Species")
NUMBERS = [{"columnId": f"Column{number}", "typeProperty": 3, "typeArguments": {}} for number in range(1, 5)]
IRIS_SOURCE = {"schemaVersion": 38, "activities": [{"name": "iris", "blocks": [
    block("DataSourceBlock", path={"target": 0, "resourceDetails": [{"path": "./iris.csv"}]}),
    block("ParseDelimitedBlock", columnHeadersMode=0, separator=",", fileEncoding=0, skipRowsMode=0),
    block("SetColumnTypesBlock", columnConversion=NUMBERS),
    block("SampleBlock", samples=[{"sampleName": "Top 10000"}]),
    block("HandlePathColumnBlock", pathColumnOperation=0),
]}]}  # fmt: skip
IRIS_PACKAGE = {"schemaVersion": 38, "activities": [{"name": "iris", "blocks": [
    block("ReferenceActivityBlock", reference={"referenceType": 1, "referenceContainerPath": "./iris.dsource"}),
    *(block("ColumnRenameBlock", columnId=f"Column{n}", newColumnId=name) for n, name in enumerate(IRIS_COLUMNS, 1)),
    block("FilterStringColumnBlock", columnId="Species", filterResult=1, clauses=[{"operator": 2}]),
]}]}  # fmt: skip
"""As the Iris sample of the Workbench has them (schemaVersion 38), without what is for the screen."""


class TestDataPreparation:
    def package(self, name: str, content: Any) -> None:
        Path(name).write_text(json.dumps(content), encoding="utf-8-sig")

    def read(self, name: str, **arguments: Any) -> Any:
        from azureml.dataprep import package

        return package.run(name, dataflow_idx=0, **arguments)

    @pytest.fixture
    def pandas(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module = type(sys)("pandas")
        module.read_csv = lambda path, **_: Path(path).read_text()  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "pandas", module)

    @pytest.mark.usefixtures("pandas")
    @pytest.mark.parametrize("named", ["data/iris.csv", "C:\\Users\\ada\\Iris\\data\\iris.csv", "./data/iris.csv"])
    def test_a_plain_csv_in_the_project_is_read(
        self, inside: RunFolder, capsys: pytest.CaptureFixture[str], named: str
    ) -> None:
        (inside.work / "data").mkdir()
        (inside.work / "data" / "iris.csv").write_text("a,b\n")
        self.package("iris.dprep", {"blocks": [{"arguments": {"path": {"resourceDetails": [{"path": named}]}}}]})

        assert self.read("iris.dprep", spark=False) == "a,b\n"
        assert "the steps of the package are not done" in capsys.readouterr().err

    @pytest.mark.usefixtures("pandas")
    def test_the_csv_may_stand_in_the_data_source(self, inside: RunFolder) -> None:
        (inside.work / "iris.csv").write_text("a,b\n")
        self.package("iris.dsource", {"path": "iris.csv"})
        self.package("iris.dprep", {"source": "iris.dsource"})

        assert self.read("iris.dprep") == "a,b\n"

    def test_the_workbenchs_iris_is_read_as_its_data_source_says(
        self, inside: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pytest.importorskip("pandas")
        (inside.work / "iris.csv").write_text("5.1,3.5,1.4,0.2,Iris-setosa\n7.0,3.2,4.7,1.4,Iris-versicolor\n,,,,\n\n")
        self.package("iris.dsource", IRIS_SOURCE)
        self.package("iris.dprep", IRIS_PACKAGE)

        frame = self.read("iris.dprep")

        assert list(frame.columns) == ["Sepal Length", "Sepal Width", "Petal Length", "Petal Width", "Species"]
        assert frame.values.tolist() == [[5.1, 3.5, 1.4, 0.2, "Iris-setosa"], [7.0, 3.2, 4.7, 1.4, "Iris-versicolor"]]
        assert capsys.readouterr().err == ""

    def test_what_is_done_of_the_workbenchs_iris(self, inside: RunFolder) -> None:
        from azureml.dataprep.package import _blocks, plan

        self.package("iris.dsource", IRIS_SOURCE)
        options, steps, left = plan(list(_blocks(IRIS_PACKAGE, 0)))

        assert (options["header"], options["sep"], len(steps), left) == (None, ",", 4 + 5 + 1, [])

    def test_steps_that_are_not_done_are_named(
        self, inside: RunFolder, capsys: pytest.CaptureFixture[str], pandas: None
    ) -> None:
        (inside.work / "a.csv").write_text("a,b\n")
        blocks = [block("ParseDelimitedBlock", columnHeadersMode=3), block("PivotBlock", path="a.csv")]
        self.package("a.dprep", {"activities": [{"blocks": blocks}]})

        assert self.read("a.dprep") == "a,b\n"
        assert "these steps of the package are not done: PivotBlock." in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (None, "there is no such package file"),
            ({"path": "gone.csv"}, "names no CSV file"),
            ({"paths": ["a.csv", "b.csv"]}, "names more than one CSV file"),
            ({"path": "a.csv"}, "needs pandas"),
        ],
    )
    def test_anything_else_is_an_error_that_names_the_call(
        self, inside: RunFolder, content: Any, said: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pandas", None)
        for name in ("a.csv", "b.csv"):
            Path(name).write_text("a,b\n")
        if content is not None:
            self.package("iris.dprep", content)

        with pytest.raises(NotImplementedError, match=rf"azureml\.dataprep\.package\.run\('iris\.dprep'\).*{said}"):
            self.read("iris.dprep")

    def test_a_spark_data_frame_is_refused(self, inside: RunFolder) -> None:
        with pytest.raises(NotImplementedError, match="asks for a Spark data frame"):
            self.read("iris.dprep", spark=True)


def test_a_script_of_2017_runs_by_hand_with_the_shims_on_its_path(tmp_path: Path) -> None:
    from tests.tracking.conftest import SHIMS

    search = os.pathsep.join([str(SHIMS), str(SHIMS.parents[2])])
    script = (
        "from azureml.logging import get_azureml_logger\nrun_logger = get_azureml_logger()\n"
        "run_logger.log('amlrealworld.iris', 'true')\nprint('done')"
    )

    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={"PYTHONPATH": search}, capture_output=True, text=True
    )

    assert (ended.returncode, ended.stdout) == (0, "done\n")
