"""Checked values to the text of a configuration file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from amltool.configuration.fields import Table
from amltool.configuration.secrets import SecretReference

_OTHER_LINE_ENDS = re.compile("[\x85\u2028\u2029]")


def plain(value: Any, table: Table | None = None) -> Any:
    """A value as YAML writes it; a nested one by its table, without what is at its default."""
    if table is not None:
        found = {field.key: (getattr(value, field.name), field.default) for field in table.fields}
        return {key: plain(each) for key, (each, default) in found.items() if each != default}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, SecretReference):
        return str(value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return value


def dump(content: Mapping[str, Any]) -> str:
    """A YAML document with keys in alphabetical order, as the ancestor wrote its files."""
    import yaml

    text: str = yaml.safe_dump(dict(content), default_flow_style=False, allow_unicode=True, width=1 << 30)
    if _OTHER_LINE_ENDS.search(text):  # PyYAML writes them bare, and reads them as blanks; escaped they stay
        text = yaml.safe_dump(dict(content), default_flow_style=False, allow_unicode=False, width=1 << 30)
    return text
