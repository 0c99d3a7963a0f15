"""Prints this Python's version; ends with 0 when it fits a version as conda writes it (``3.11``, ``>=3.8,<4``).

Run in a build container by whatever Python a base image has, so it is written for all of them.
"""
# ruff: noqa: UP031

import re
import sys


def numbers(text: str) -> "list[int]":
    return [int(part) for part in re.findall(r"\d+", text)]


def fits_one(version: "list[int]", condition: str) -> bool:
    """Whether ``[3, 11, 2]`` fits one condition: ``3.11``, ``=3.11``, ``3.11.*``, ``==3.11.2``, ``>=3.8`` …"""
    condition = condition.strip()
    wanted = numbers(condition.lstrip("<>=!~ ").split(" ")[0].split("=")[0])
    operator = re.sub("[^<>=!~].*", "", condition)
    if not wanted:
        return True
    beginning = version[: len(wanted)] == wanted
    if operator in ("", "=", "=="):
        return beginning
    if operator == "!=":
        return not beginning
    if operator == "~=":
        return version >= wanted and version[: len(wanted) - 1] == wanted[:-1]
    if operator == ">=":
        return version >= wanted
    if operator == "<=":
        return version <= wanted or beginning
    if operator == "<":
        return version < wanted
    return version > wanted and not beginning


def fits(version: "list[int]", constraint: str) -> bool:
    """Whether a version fits a whole constraint: conditions that all hold (``,``), or others that do (``|``)."""
    return any(all(fits_one(version, condition) for condition in either.split(",")) for either in constraint.split("|"))


if __name__ == "__main__":
    here = list(sys.version_info[:3])
    sys.stdout.write("%d.%d.%d\n" % tuple(here))
    sys.exit(0 if here >= [3, 6] and fits(here, sys.argv[1]) else 3)
