"""What azureml-core 1.61 takes into a snapshot, written anew from what it was seen to do.

It shares nothing with amltool's way: a pattern becomes a list of tokens that are matched one character at a time,
each pattern is asked about each path, and the walk asks about every folder from the top. Checked against
azureml-core's own walk with pathspec 0.12.1 on random patterns and paths; azureml-core itself is not needed here.
Where Git reads the same, Git is asked (`git_leaves_out`).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from amltool.ignore import IgnoreFile

Token = tuple[str, ...]

ANY_FOLDERS = ("any folders",)
FOLDERS_BETWEEN = ("folders between",)
ONE = ("one",)
MANY = ("many",)
ITSELF = ("itself or inside",)
INSIDE = ("inside",)


def taken(lines: Iterable[str], paths: Iterable[str]) -> list[str]:
    """The paths that stay: neither they nor a folder above them is matched last by an excluding pattern."""
    patterns = [pattern for pattern in (read(line) for line in lines) if pattern is not None]
    stay = []
    for path in paths:
        parts = path.split("/")
        if not any(excluded(patterns, "/".join(parts[:depth])) for depth in range(1, len(parts) + 1)):
            stay.append(path)
    return stay


def excluded(patterns: Iterable[tuple[bool, list[Token]]], path: str) -> bool:
    verdict = False
    for excludes, tokens in patterns:
        if matches(tokens, path):
            verdict = excludes
    return verdict


def read(line: str) -> tuple[bool, list[Token]] | None:
    text = line.strip()
    if not text or text.startswith("#") or text == "/":
        return None
    excludes = not text.startswith("!")
    segments = text.removeprefix("!").split("/")
    for place in range(len(segments) - 1, 0, -1):
        if segments[place - 1] == segments[place] == "**":
            del segments[place]
    if segments == ["**", ""]:
        return excludes, [ANY_FOLDERS, ONE, MANY, INSIDE]
    if not segments[0]:
        del segments[0]
    elif (len(segments) == 1 or (len(segments) == 2 and not segments[1])) and segments[0] != "**":
        segments.insert(0, "**")
    if not segments[-1] and len(segments) > 1:
        segments[-1] = "**"
    return excludes, _tokens(segments)


def _tokens(segments: list[str]) -> list[Token]:
    if segments == ["**"]:
        return [ONE, MANY, ITSELF]
    tokens: list[Token] = []
    needs_slash = False
    last = len(segments) - 1
    for place, segment in enumerate(segments):
        if segment == "**":
            tokens.append(ANY_FOLDERS if place == 0 else INSIDE if place == last else FOLDERS_BETWEEN)
            needs_slash = place > 0
            continue
        if needs_slash:
            tokens.append(("letter", "/"))
        tokens += [ONE, MANY] if segment == "*" else _segment(segment)
        needs_slash = True
        if place == last:
            tokens.append(ITSELF)
    return tokens


def _segment(segment: str) -> list[Token]:
    tokens: list[Token] = []
    place = 0
    while place < len(segment):
        letter = segment[place]
        place += 1
        if letter == "\\":
            tokens.append(("letter", segment[place]))
            place += 1
        elif letter == "*":
            tokens.append(MANY)
        elif letter == "?":
            tokens.append(ONE)
        elif letter == "[":
            start = place + 1 if segment[place : place + 1] in ("!", "^") else place
            end = segment.find("]", start + 1)
            if end < 0:
                tokens.append(("letter", "["))
            else:
                tokens.append(("none of" if start > place else "one of", *_members(segment[start:end])))
                place = end + 1
        else:
            tokens.append(("letter", letter))
    return tokens


def _members(text: str) -> list[str]:
    members: list[str] = []
    while text:
        if len(text) > 2 and text[1] == "-":
            members += [chr(code) for code in range(ord(text[0]), ord(text[2]) + 1)]
            text = text[3:]
        else:
            members.append(text[0])
            text = text[1:]
    return members


def matches(tokens: list[Token], path: str) -> bool:
    places = {0}
    for token in tokens:
        places = {after for place in places for after in _after(token, path, place)}
    return bool(places)


def _after(token: Token, path: str, place: int) -> list[int]:
    """Where a match may go on after this token; for the last token, any place says that the pattern matches."""
    kind, rest = token[0], path[place:]
    if token == ANY_FOLDERS:
        return [place, *(place + at + 1 for at, letter in enumerate(rest) if letter == "/" and at > 0)]
    if token == FOLDERS_BETWEEN:
        return [place, *(range(place + 2, len(path) + 1) if rest.startswith("/") else [])]
    if token == MANY:
        return list(range(place, place + len(rest.split("/")[0]) + 1))
    if token == ITSELF:
        return [place] if not rest or rest.startswith("/") else []
    if token == INSIDE:
        return [place] if rest.startswith("/") else []
    if not rest:
        return []
    fits = {
        "one": rest[0] != "/",
        "letter": rest[0] == token[-1],
        "one of": rest[0] in token[1:],
        "none of": rest[0] not in token[1:],
    }[kind]
    return [place + 1] if fits else []


def git_leaves_out(repository: Path, ignore_file: IgnoreFile, paths: list[str]) -> set[str]:
    """What Git itself leaves out of these paths in an empty repository whose only ignore file is this one."""
    (repository / ".gitignore").write_bytes(ignore_file.content)
    done = subprocess.run(
        ["git", "-C", str(repository), "check-ignore", "--stdin", "--no-index", "-z"],
        input=b"".join(os.fsencode(path) + b"\0" for path in paths),
        capture_output=True,
    )
    assert done.returncode in (0, 1), done.stderr
    return {os.fsdecode(path) for path in done.stdout.split(b"\0") if path}
