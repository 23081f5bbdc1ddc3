"""The systems of a run, for the shell: `python -m espret.recipe.systems retrieval "conf/a.yaml conf/b.yaml" ...`.

Prints one line a system: task, system, configuration file, feature name, text name. A system is called after its file.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from espret.errors import EspretError, nearest
from espret.yaml_file import load_yaml

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


def system_rows(task: str, configs: str) -> list[list[str]]:
    """[task, system, file, feature name, text name] for each file in the blank-separated list `configs`."""
    rows = []
    for config in configs.split():
        if not Path(config).is_file():
            others = [str(path) for path in Path(config).parent.glob("*.yaml")]
            raise EspretError(f"--{task}-config {config}: no such file{nearest(config, others)}")
        sections = load_yaml(config)
        name = Path(config).stem
        rows.append(
            [task, _safe(name, config), config, _name(sections, "features", config), _name(sections, "text", config)]
        )
    return rows


def _name(sections: dict[str, Any], section: str, config: str) -> str:
    value = sections.get(section)
    if not isinstance(value, dict) or "name" not in value:
        raise EspretError(f"{config}: {section}.name is missing; it names the folder under dump/")
    return _safe(str(value["name"]), f"{config}: {section}.name")


def _safe(name: str, where: str) -> str:
    if not SAFE_NAME.fullmatch(name):
        raise EspretError(f"{where}: '{name}' names a folder: letters, digits, '_', '-', '+' and '.' only")
    return name


def main(words: list[str]) -> int:
    """Print the rows for pairs of task and configuration list; returns the exit status."""
    try:
        for task, configs in zip(words[::2], words[1::2]):
            for row in system_rows(task, configs):
                print("\t".join(row))
    except EspretError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
