"""Which ignore file rules a snapshot, and which files it leaves out.

The file list is that of azureml-core 1.61 (WORKBENCH 4.2 and 8): its reading of patterns (`patterns`), and its walk
of folders from the top (`ruler`), so that what lies in a folder that is left out is never looked at.
"""

from __future__ import annotations

from amltool.ignore.patterns import IGNORE_FILES, IgnoreFile, Rule, Translation, ruling_ignore_file, translation_for
from amltool.ignore.selection import (
    Difference,
    Explanation,
    Selection,
    differs_from_git,
    explain,
    select,
    unused_patterns,
)

__all__ = [
    "IGNORE_FILES",
    "Difference",
    "Explanation",
    "IgnoreFile",
    "Rule",
    "Selection",
    "Translation",
    "differs_from_git",
    "explain",
    "ruling_ignore_file",
    "select",
    "translation_for",
    "unused_patterns",
]
