# Makes amltool.tracking importable in every Python of a run, after everything else on the module search path.
#
# PYTHONPATH begins with this folder, which holds nothing but this file. It first does what would have been done
# without it (the sitecustomize that it shadows runs, under its own name, and what that raises is reported by Python
# as ever), then appends ../path, so that a real azureml or amltool wins over what is there.
#
# Every Python of the run pays for this file, and any Python may meet it: nothing is imported that is not loaded
# already, and Python 2 must be able to read it.
import os
import sys


def _follow_up():
    # type: () -> None
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    ours = sys.modules.pop("sitecustomize")
    try:
        import sitecustomize  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
    finally:
        sys.modules.setdefault("sitecustomize", ours)
        if sys.version_info >= (3, 6):
            _append(os.path.join(os.path.dirname(here), "path"))


def _append(folder):
    # type: (str) -> None
    if folder not in sys.path:
        sys.path.append(folder)
    metrics = os.environ.get("AMLTOOL_METRICS_FILE")
    if metrics and not os.path.isabs(metrics):  # the script may go elsewhere, and so may what it starts
        os.environ["AMLTOOL_METRICS_FILE"] = os.path.abspath(metrics)


_follow_up()
