"""Reading a YAML file with errors that name file and line; light, for those who do not need espret.config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from espret.errors import EspretError


def load_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises EspretError naming file and line."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        value = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=loader)
    except FileNotFoundError:
        raise EspretError(f"{path}: no such configuration file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise EspretError(f"{path}{line}: not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(value, dict):
        raise EspretError(f"{path}: expected a mapping of sections (features, text, model, ...), found {value!r:.60}")
    return value
