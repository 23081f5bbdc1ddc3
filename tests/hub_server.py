"""A model on the Hugging Face hub, for tests: what the hub answers about it, by tests/web_server.py."""

from __future__ import annotations

import json
from collections.abc import Mapping

from web_server import Web

COMMIT = "c" * 40


def publish(web: Web, model: str, files: Mapping[str, bytes]) -> None:
    """Serve the files of a model by their paths in it."""
    about = {"id": model, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
    web.files[f"/api/models/{model}/revision/main"] = json.dumps(about).encode()
    rows = [{"type": "file", "path": name, "size": len(content), "oid": "0" * 40} for name, content in files.items()]
    web.files[f"/api/models/{model}/tree/{COMMIT}?recursive=true&expand=false"] = json.dumps(rows).encode()
    for name, content in files.items():
        web.files[f"/{model}/resolve/{COMMIT}/{name}"] = content
        web.headers[f"/{model}/resolve/{COMMIT}/{name}"] = {"X-Repo-Commit": COMMIT}
