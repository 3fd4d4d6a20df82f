"""The settings as keyword arguments, for type checkers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, TypedDict

from taskplane.settings import Role, Strings, TaskRules


class Keywords(TypedDict, total=False):
    """As `taskplane.settings.Settings`, which says what they mean."""

    brain_url: str
    token: str
    token_file: str | PathLike[str]
    name: str
    data_dir: str | PathLike[str]
    role: Role
    redact_keys: Sequence[str]
    redact_patterns: Sequence[str]
    redact_strings: Strings
    ca_cert: str | PathLike[str]
    client_cert: str | PathLike[str]
    client_key: str | PathLike[str]
    log: str
    enabled: bool
    tasks: Mapping[str, TaskRules | Mapping[str, Any]]
