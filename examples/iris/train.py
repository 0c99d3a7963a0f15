"""Train a classifier on Fisher's iris measurements, and log how good it is.

Equal arguments give equal bytes in ``outputs/``: the split is seeded, the picture holds no date and no version, and
what the shared folder holds is shown but never decides.
"""

import argparse
import csv
import os
import pickle
from pathlib import Path

import matplotlib
import numpy as np
from amltool import tracking
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

HERE = Path(__file__).resolve().parent
BEST = "best_accuracy.csv"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--regularization", type=float, default=1.0, help="strength: larger is simpler")
    parser.add_argument("--test-size", type=float, default=0.3, help="share of the flowers kept for the test")
    parser.add_argument("--seed", type=int, default=7, help="decides which flowers those are")
    arguments = parser.parse_args()
    if arguments.regularization <= 0:
        parser.error("--regularization must be greater than 0")
    if not 0 < arguments.test_size < 1:
        parser.error("--test-size must lie between 0 and 1")
    return arguments


def read_flowers(path):
    """Measurements in cm, one row a flower, and the species of each."""
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = [name for name in rows[0] if name != "species"]
    measurements = np.array([[float(row[name]) for name in names] for row in rows])
    return measurements, np.array([row["species"] for row in rows])


def make_model(regularization):
    return make_pipeline(StandardScaler(), LogisticRegression(C=1 / regularization, max_iter=1000))


def draw(matrix, species, path):
    figure, axes = pyplot.subplots(figsize=(4, 4), layout="constrained")
    axes.imshow(matrix, cmap="Blues")
    for (row, column), count in np.ndenumerate(matrix):
        color = "white" if 2 * count > matrix.max() else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=color)
    axes.set(xlabel="predicted", ylabel="true", xticks=range(len(species)), yticks=range(len(species)))
    axes.set_xticklabels(species)
    axes.set_yticklabels(species, rotation=90, va="center")
    figure.savefig(path, dpi=100, metadata={"Software": None})  # no version of matplotlib in the bytes
    pyplot.close(figure)


def keep_best(accuracy):
    """Remember the best accuracy of all runs on this compute target in the folder that survives them."""
    share = os.environ.get("AZUREML_NATIVE_SHARE_DIRECTORY")
    if not share:
        print("No shared folder here: the best accuracy is not remembered.")
        return
    place = Path(share) / BEST
    best = float(place.read_text().split(",")[0]) if place.is_file() else None
    print("Best accuracy before this run: {}".format("none" if best is None else best))
    if best is None or accuracy > best:
        place.write_text("{},{}\n".format(accuracy, os.environ.get("AZUREML_RUN_ID", "by hand")))


def main():
    arguments = parse_arguments()
    tracking.log_parameters(vars(arguments))
    measurements, species = read_flowers(HERE / "iris.csv")
    train, test, train_species, test_species = train_test_split(
        measurements, species, test_size=arguments.test_size, random_state=arguments.seed, stratify=species
    )

    folds = StratifiedKFold(n_splits=5, shuffle=True, random_state=arguments.seed)
    for fold, score in enumerate(cross_val_score(make_model(arguments.regularization), train, train_species, cv=folds)):
        tracking.log_metric("fold accuracy", score, step=fold)

    model = make_model(arguments.regularization).fit(train, train_species)
    predicted = model.predict(test)
    names = [str(name) for name in model.classes_]
    accuracy = float(accuracy_score(test_species, predicted))
    matrix = confusion_matrix(test_species, predicted, labels=names)
    tracking.log_metric("accuracy", accuracy)
    tracking.log_list("recall", recall_score(test_species, predicted, labels=names, average=None))
    tracking.log_table("confusion", {"true": names, **{name: matrix[:, at] for at, name in enumerate(names)}})
    print("Accuracy on {} flowers: {:.4f}".format(len(test_species), accuracy))

    outputs = Path(tracking.outputs_directory())
    with (outputs / "model.pkl").open("wb") as stream:
        pickle.dump(model, stream, protocol=4)  # the protocol is part of the bytes
    draw(matrix, names, outputs / "confusion_matrix.png")
    tracking.log_image("confusion matrix", path=str(outputs / "confusion_matrix.png"))
    keep_best(accuracy)


if __name__ == "__main__":
    main()
