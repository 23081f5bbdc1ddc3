"""Which GPUs this machine lets us use. Handing them out to tasks is done in espret/jobs/local.py."""

from __future__ import annotations

import os


def visible() -> list[str]:
    """Ids of the visible GPUs, as CUDA_VISIBLE_DEVICES would list them.

    ESPRET_GPUS names them (`0,1`; empty: none), else CUDA_VISIBLE_DEVICES, else nvidia-smi is asked.
    """
    for name in ("ESPRET_GPUS", "CUDA_VISIBLE_DEVICES"):
        value = os.environ.get(name)
        if value is not None:
            ids = [item.strip() for item in value.split(",") if item.strip()]
            return [item for item in ids if item not in ("-1", "NoDevFiles")]
    return _ask_driver()


def _ask_driver() -> list[str]:
    import shutil  # here, for they take milliseconds to load and most commands need no GPU
    import subprocess

    if shutil.which("nvidia-smi") is None:
        return []
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    count = sum(line.startswith("GPU ") for line in listing.stdout.splitlines())
    return [str(index) for index in range(count)]
