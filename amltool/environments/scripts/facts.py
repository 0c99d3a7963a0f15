"""Writes down, as JSON, what a program that runs in this environment meets: variables, Spark, Java.

Run in a build container by the environment's own Python, so it keeps to the standard library and to Python 3.6.
"""
# ruff: noqa: PTH113, PTH118, PTH123
# mypy: allow-untyped-defs, allow-untyped-calls

import json
import os
import shutil
import sys


def spark_submit():
    """The environment's own, the search path's, the base image's under SPARK_HOME, or that of the package pyspark."""
    found = shutil.which("spark-submit")
    if found:
        return found
    places = [os.environ.get("SPARK_HOME", "")]
    places += [os.path.join(folder, "pyspark") for folder in sys.path if folder]
    for place in places:
        program = os.path.join(place, "bin", "spark-submit")
        if place and os.path.isfile(program):
            return program
    return None


def has_java():
    home = os.environ.get("JAVA_HOME")
    return bool(shutil.which("java")) or bool(home and os.path.isfile(os.path.join(home, "bin", "java")))


def as_json_can(text):
    try:
        text.encode("utf-8")
    except UnicodeError:
        return False
    return True


def main():
    facts = {
        "variables": {name: value for name, value in os.environ.items() if as_json_can(name + value)},
        "python": sys.executable,
        "spark_submit": spark_submit(),
        "java": has_java(),
    }
    with open(sys.argv[1], "w") as stream:
        json.dump(facts, stream)


main()
