"""Counts the words of a generated text with Spark, and writes the counts as a table.

    count.py [LINES]     how many lines of text to make (20,000 by default)

The text is made from a seed, so every run counts the same words, on one machine as on a cluster.
"""

import random
import sys

from amltool import tracking
from pyspark.sql import SparkSession, functions

WORDS = "azure blob cluster commit experiment git history lake metric model notebook run spark table tree yarn".split()


def line(number):
    """One line of text; the same for the same number, wherever it is made."""
    chosen = random.Random(number)
    return " ".join(chosen.choices(WORDS, k=12))


def main():
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    spark = SparkSession.builder.appName("word count").getOrCreate()
    text = spark.sparkContext.range(lines, numSlices=4).map(lambda number: (line(number),)).toDF(["line"])
    counted = (
        text.select(functions.explode(functions.split("line", " ")).alias("word"))
        .groupBy("word")
        .count()
        .orderBy(functions.desc("count"), "word")
    )
    tracking.log_parameter("lines", lines)
    tracking.log_metric("words", lines * 12)
    for row in counted.collect():
        print(f"{row['word']:<12} {row['count']:>8}")
        tracking.log_row("counts", word=row["word"], count=row["count"])
    # a relative path: on a cluster a folder of this run's own on its file system, which is brought back
    counted.coalesce(1).write.mode("overwrite").csv("outputs/counts", header=True)


if __name__ == "__main__":
    main()
