"""Trains a logistic regression of Spark's MLlib on generated points, and says how well it tells two kinds apart.

    train.py [POINTS]     how many points to make (2,000 by default)
"""

import random
import sys

from amltool import tracking
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.linalg import Vectors
from pyspark.sql import SparkSession


def point(number):
    """A labelled point: two clouds that overlap a little; the same for the same number."""
    chosen = random.Random(number)
    label = float(number % 2)
    return label, Vectors.dense([chosen.gauss(2 * label, 1.0), chosen.gauss(-label, 1.0)])


def main():
    points = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    spark = SparkSession.builder.appName("two clouds").getOrCreate()
    data = spark.createDataFrame(spark.sparkContext.range(points, numSlices=4).map(point), ["label", "features"])
    model = LogisticRegression(regParam=0.01, maxIter=20).fit(data)
    accuracy = MulticlassClassificationEvaluator(metricName="accuracy").evaluate(model.transform(data))
    tracking.log_parameter("points", points)
    for number, loss in enumerate(model.summary.objectiveHistory):
        tracking.log_metric("loss", round(loss, 9), step=number)
    tracking.log_metric("accuracy", round(accuracy, 6))
    coefficients = [round(value, 6) for value in model.coefficients]
    print(f"accuracy {accuracy:.4f}, coefficients {coefficients}")
    with open("outputs/model.txt", "w") as stream:
        stream.write(f"coefficients {coefficients}\nintercept {round(model.intercept, 6)}\n")


if __name__ == "__main__":
    main()
