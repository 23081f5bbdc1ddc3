"""The systems of a run, for the shell: `python -m espret.recipe.systems retrieval "conf/a.yaml conf/b.yaml" ...`.

Prints one line a system: task, system, configuration file, feature name, text name, for imported features
(`frontend: {type: imported, file: FILE, expert: NAME}`) FILE and NAME, and the file with a frozen network's weights. A
system is called after its file.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from espret.audio import published
from espret.errors import EspretError, nearest
from espret.yaml_file import load_yaml

IMPORTED = "imported"  # the front end of features that `espret import-features` takes from elsewhere
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


def system_rows(task: str, configs: str) -> list[list[str]]:
    """[task, system, file, feature name, text name, imported file, expert, weights] for each file in the list `configs`
    (with blanks between); the last three are "-" where there is no such thing."""
    rows = []
    for config in configs.split():
        if not Path(config).is_file():
            others = [str(path) for path in Path(config).parent.glob("*.yaml")]
            raise EspretError(f"--{task}-config {config}: no such file{nearest(config, others)}")
        sections = load_yaml(config)
        name = _safe(Path(config).stem, config)
        names = [_name(sections, section, config) for section in ("features", "text")]
        frontend = sections["features"].get("frontend")
        rows.append([task, name, config, *names, *_imported(frontend, config), _weights(frontend)])
    return rows


def _weights(frontend: object) -> str:
    """The checkpoint of a published network, if it is there: with another one in its place features are out of date."""
    known = published.table()
    if not isinstance(frontend, dict) or frontend.get("type") not in known:
        return "-"
    option = str(frontend.get("checkpoint", "official"))
    path = known[frontend["type"]].path if option == "official" else Path(option).expanduser()
    return str(path) if path.is_file() else "-"


def _imported(frontend: object, config: str) -> tuple[str, str]:
    """The file that features are imported from, and which expert they are of."""
    if not isinstance(frontend, dict) or frontend.get("type") != IMPORTED:
        return "-", "-"
    for key in frontend:
        if key not in ("type", "file", "expert"):
            raise EspretError(f"{config}: features.frontend: unknown option '{key}'{nearest(key, ('file', 'expert'))}")
    file, expert = frontend.get("file"), frontend.get("expert", "-")
    if not isinstance(file, str) or not file or "\t" in file or not isinstance(expert, str):
        raise EspretError(f"{config}: features.frontend: {frontend!r}; expected file, the name of one, and an expert")
    return file, expert


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
