"""A features section's front end as a function from clips to frames, and what is told of it beside the features.

Reading clips and writing what comes out are the work of `dump`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import espret
from espret.audio import FRONTENDS
from espret.audio.network import Extractor
from espret.config import Component, Features, build
from espret.data.audio import Samples
from espret.errors import EspretError

if TYPE_CHECKING:
    import torch

Matrix = NDArray[np.float32]
Extract = Callable[[Samples], Matrix]
ExtractAll = Callable[[Sequence[Samples]], list[Matrix]]


def load_frontend(features: Features) -> tuple[Extract, dict[str, Any]]:
    """The front end of a features section as a function from samples [n] to frames [frames, dim], and its about.json.

    On the CPU, with one thread, unless OMP_NUM_THREADS says otherwise: parallelism is the array's.
    """
    extract, about = load_extractor(features)
    return lambda samples: extract([samples])[0], about


def load_extractor(features: Features, device: str | torch.device = "cpu") -> tuple[ExtractAll, dict[str, Any]]:
    """The front end on `device`, as a function from clips to their frames, and what about.json says of it.

    `features.precision` is that of the networks; front ends compute in float32 whatever it is. On a GPU float32 means
    just that (no TF32). One CPU thread, as `load_frontend`.
    """
    import torch

    device = torch.device(device)
    if features.sample_rate < 1:
        raise EspretError(f"features.sample_rate is {features.sample_rate}; expected samples a second, such as 16000")
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    frontend: Extractor = build(FRONTENDS, features.frontend, "features.frontend", sample_rate=features.sample_rate)
    frontend = frontend.eval().to(device)
    about = _about(features, frontend)
    lower = getattr(torch, about["precision"]) if about["precision"] != "float32" else None

    def extract(clips: Sequence[Samples]) -> list[Matrix]:
        with torch.inference_mode(), torch.autocast(device.type, lower, enabled=lower is not None):
            try:
                return _to_numpy(frontend.extract([torch.from_numpy(clip).to(device) for clip in clips]))
            except torch.cuda.OutOfMemoryError:
                longest = max(map(len, clips)) / features.sample_rate
                raise EspretError(
                    f"out of GPU memory with {len(clips)} clips of up to {longest:.0f} s; "
                    "mend: a smaller --batch-seconds, or --ngpu 0"
                ) from None

    return extract, about


def _to_numpy(frames: Sequence[torch.Tensor]) -> list[Matrix]:
    """Frames on any device, of any type, as float32 arrays; from a GPU they come all at once."""
    import torch

    if frames[0].device.type == "cpu":
        return [one.float().numpy() for one in frames]
    together = torch.cat([one.float() for one in frames]).cpu()
    return [one.numpy() for one in together.split([len(one) for one in frames])]


def _about(features: Features, frontend: Extractor) -> dict[str, Any]:
    about = {
        "frontend": features.frontend["type"],
        "options": _options(frontend, features.frontend),
        "sample_rate": features.sample_rate,
        "dim": frontend.dim,
        "hop_seconds": frontend.hop_seconds,
        "dtype": features.dtype,
        "precision": features.precision,
        "espret": espret.__version__,
    }
    if about["dtype"] == "flac" and about["frontend"] != "waveform":
        raise EspretError(
            f"features.dtype: flac, which stores sound, with front end '{about['frontend']}'; "
            "expected float32 or float16, or frontend: {type: waveform}"
        )
    return about | ({"weights": frontend.provenance} if frontend.provenance else {})


def _options(frontend: object, component: Component) -> dict[str, Any]:
    """The options that were given, and the values that the others took."""
    defaults = {key: value.default for key, value in inspect.signature(type(frontend)).parameters.items()}
    given = {key: value for key, value in component.items() if key != "type"}
    return {key: value for key, value in defaults.items() if value is not inspect.Parameter.empty} | given
