"""Checkpoints of made-up values, made-up signals, and what the reference programs gave for them.

The official weights are not here: every tensor of a checkpoint is drawn from its key (`value`), the signals from a seed
(`wave`). `golden` reads what the reference made of them: the small files of tests/goldens/audio, and, where
ESPRET_TEST_GOLDENS names the folder they were cut from, the large ones (`audio/` in it).

    python tests/audio/filled.py cut NAME ... [--cases ab] [--bytes 40000]     cut large goldens to small ones
"""

from __future__ import annotations

import argparse
import fcntl
import functools
import json
import math
import os
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from espret.files import atomic_write, write_text

SMALL = Path(__file__).parents[1] / "goldens" / "audio"
SOURCES = ("small", "large")  # to parametrise tests with; those of "large" skip where the folder is not there
CONSTANTS = ("spectrogram_extractor.", "logmel_extractor.")  # of PANNs: computed, so that filling leaves them
KEPT = ("full_shape", "stride", "unit", "tol_abs")  # of what is known of an array
CHIRPS = ((60.0, 0.0, 1500.0, 0.0, 0.25), (0.0, 0.3, 0.0, 0.02, 0.2), (440.0, 0.0, 0.0, 0.45, 0.15))

Module = TypeVar("Module", bound=nn.Module)


def large() -> Path:
    """The folder of the large goldens; skips the test where there is none."""
    if "ESPRET_TEST_GOLDENS" not in os.environ:
        pytest.skip("ESPRET_TEST_GOLDENS does not name the folder of the large goldens")
    return Path(os.environ["ESPRET_TEST_GOLDENS"]) / "audio"


def value(key: str, shape: Sequence[int]) -> np.ndarray:
    """The made-up tensor of a checkpoint: float32 (int64 for `num_batches_tracked`), a function of key and shape."""
    last = re.split(r"[./]", key.removesuffix(":0"))[-1]
    if last == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    random = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))
    if last in ("running_var", "moving_variance"):
        return (0.5 + random.random(shape)).astype(np.float32)
    mean, deviation = _mean_and_deviation(last, shape)
    return (_factor(key) * (mean + deviation * random.standard_normal(shape))).astype(np.float32)


def _mean_and_deviation(last: str, shape: Sequence[int]) -> tuple[float, float]:
    if last in ("running_mean", "moving_mean"):
        return 0.0, 0.1
    if last in ("bias", "beta"):
        return 0.0, 0.05
    if last == "gamma" or (last == "weight" and len(shape) == 1):
        return 1.0, 0.1
    if last.endswith(("pos_embed", "_token")):
        return 0.0, 0.2
    inputs = {"kernel": shape[:-1], "depthwise_kernel": shape[:2]}.get(last, shape[1:] if len(shape) > 1 else shape)
    return 0.0, math.sqrt(2 / math.prod(inputs))


def _factor(key: str) -> float:
    """What keeps sums of residuals, sigmoids and soft assignments in a range where errors show."""
    ends = {r"layer\d\.\d+\.bn2\.weight": 0.25, r"avgpool\.conv\.weight": 32.0, r"fc_\.weight": 64.0}
    factors = [factor for end, factor in ends.items() if re.search(f"{end}$", key)]
    return 0.01 if key == "fc_audioset.weight" else factors[0] if factors else 1.0


def fill(module: Module, keys: Iterable[str] | None = None) -> Module:
    """Fill what a module's state dict holds (those `keys` only, where given) in eval mode; constants of PANNs stay."""
    state = module.state_dict()
    with torch.no_grad():
        for key in state if keys is None else keys:
            if not key.startswith(CONSTANTS):
                tensor = state[key]
                tensor.copy_(torch.from_numpy(value(key, tuple(tensor.shape))))
    return module.eval()


@functools.cache
def _keys() -> dict[str, Any]:
    return json.loads((SMALL / "keys.json").read_text(encoding="utf-8"))


def layout(name: str) -> dict[str, tuple[int, ...]]:
    """The keys and shapes of an official checkpoint, in its order, without its wrapper.

    Names: cnn10 cnn14 resnet38 vggish vggish_pca vggsound_h vggsound_i yamnet yamnet_torch_port openl3_mel128 coala
    coala_cnn passt_n passt_s passt_l passt_s20.
    """
    return {key: tuple(shape) for key, shape in _keys()[name]["tensors"].items()}


def tensors(name: str) -> dict[str, Tensor]:
    """A filled checkpoint; the constants of PANNs, which are computed, are left out."""
    shapes = {key: shape for key, shape in layout(name).items() if not key.startswith(CONSTANTS)}
    return {key: torch.from_numpy(value(key, shape)) for key, shape in shapes.items()}


def wave_i16(seed: int, n: int, rate: int, kind: str = "mix") -> np.ndarray:
    """[n] int16 at `rate` Hz: three chirps and noise, swelling; `silence`, `clip` (8 times as loud), `gap` (40 %)."""
    if kind == "silence":
        return np.zeros(n, np.int16)
    random = np.random.Generator(np.random.PCG64(seed))
    phases, noise = random.random(3), random.standard_normal(n)
    seconds = np.arange(n) / rate
    samples = np.zeros(n)
    for phase, (low, low_share, high, high_share, loudness) in zip(phases, CHIRPS):
        first, last = low + low_share * rate, high + high_share * rate
        turns = first * seconds + (last - first) * seconds * seconds / (2 * (n / rate))
        samples += loudness * np.sin(2 * np.pi * (turns + phase))
    samples = samples * (0.55 + 0.45 * np.sin(2 * np.pi * 1.7 * seconds)) + 0.05 * noise
    samples *= 8 if kind == "clip" else 1
    samples[: int(0.4 * n) if kind == "gap" else 0] = 0
    return np.rint(np.clip(samples, -1, 1) * 32767).astype(np.int16)


def wave(seed: int, n: int, rate: int, kind: str = "mix", gain: float = 1.0) -> Tensor:
    """[n] float32 of wave_i16, in -gain..gain."""
    return torch.from_numpy(gain * (wave_i16(seed, n, rate, kind) / 32768)).float()


class Golden:
    """What a reference program gave.

    `cases[case]` has seed, n (samples), rate, kind, gain, and a network's own options; `arrays[name]` has full_shape,
    stride, unit, tol_abs. Arrays are named `<case>_<what>`, those that are of no signal `<what>`.
    """

    def __init__(self, name: str, folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))[f"{name}.npz"]
        self.name, self.cases, self.reference = name, dict(index["cases"]), index["reference"]
        with np.load(folder / f"{name}.npz") as stored:
            self._stored = {key: stored[key] for key in stored.files if key in index["arrays"]}
        self.arrays: dict[str, dict[str, Any]] = {key: index["arrays"][key] for key in self._stored}

    def wave(self, case: str) -> Tensor:
        """[n] float32: what goes in. Checked against the checksum of what went into the reference."""
        facts = self.cases[case]
        asked = [facts[key] for key in ("seed", "n", "rate", "kind")]
        assert zlib.crc32(wave_i16(*asked).astype("<i2").tobytes()) == facts["crc32"], f"{self.name} {case}"
        return wave(*asked, facts["gain"])

    def of(self, case: str) -> set[str]:
        """The names of a case's arrays without the case: what `check` must be given to check all."""
        return {name[len(case) + 1 :] for name in self.arrays if name.startswith(f"{case}_")}

    def stored(self, name: str) -> np.ndarray:
        """An array as it is stored: full[::stride[0], ::stride[1], ...]."""
        return self._stored[name]

    def check(self, found: Mapping[str, Tensor | np.ndarray], case: str | None = None) -> None:
        """Every array found, whole, agrees within its tolerance; with `case`, the names are without it, and none of
        the stored ones may be missing (found ones that are not stored are left alone)."""
        if case is not None:
            assert not (missing := self.of(case) - set(found)), f"{self.name} {case}: not checked: {missing}"
            found = {f"{case}_{name}": array for name, array in found.items() if name in self.of(case)}
        for name, array in found.items():
            worst = self.worst(name, array)
            assert worst <= 1, f"{self.name} {name}: {worst:.3g} times the tolerance {self.arrays[name]['tol_abs']:.3g}"

    def worst(self, name: str, found: Tensor | np.ndarray) -> float:
        """The largest difference in units of the tolerance (inf where any is wrong and none is allowed, or NaN)."""
        facts = self.arrays[name]
        array = found.detach().cpu().numpy() if isinstance(found, Tensor) else found
        assert list(array.shape) == facts["full_shape"], f"{name}: {array.shape}, expected {facts['full_shape']}"
        cut = array[tuple(slice(None, None, step) for step in facts["stride"])]
        difference = np.abs(cut.astype(np.float64) - self._stored[name]).max(initial=0)
        if np.isnan(difference) or (difference and not facts["tol_abs"]):
            return math.inf
        return float(difference / facts["tol_abs"]) if difference else 0.0


def golden(name: str, source: str = "small") -> Golden:
    """The golden NAME.npz of a source, one of SOURCES; skips the test where the folder of the large ones is not set."""
    return Golden(name, SMALL if source == "small" else large())


def cut(name: str, source: Path, cases: str, size: int) -> None:
    """Write a small golden: the arrays of some cases at larger strides, `size` bytes in all, and no signals."""
    index = json.loads((source / "index.json").read_text(encoding="utf-8"))[f"{name}.npz"]
    dropped = tuple(f"{case}_" for case in index["cases"] if case not in cases)
    with np.load(source / f"{name}.npz") as stored:
        arrays = {key: stored[key] for key in index["arrays"] if not key.startswith(dropped) and "wave_i16" not in key}
    facts = {key: {fact: index["arrays"][key][fact] for fact in KEPT} for key in arrays}
    while sum(array.nbytes for array in arrays.values()) > size:
        key = max(arrays, key=lambda key: arrays[key].nbytes)
        axis = int(np.argmax(arrays[key].shape))
        arrays[key] = arrays[key][(slice(None),) * axis + (slice(None, None, 2),)]
        facts[key]["stride"][axis] *= 2
    kept = {case: {**value, "stored": False} for case, value in index["cases"].items() if case in cases}
    SMALL.mkdir(parents=True, exist_ok=True)
    with atomic_write(SMALL / f"{name}.npz", "wb") as stream:
        np.savez_compressed(stream, **arrays)
    _add_to_index({f"{name}.npz": {"reference": index["reference"], "cases": kept, "arrays": facts}})


def _add_to_index(entry: dict[str, Any]) -> None:
    with (SMALL / "README.md").open() as lock:  # several may be cut at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = SMALL / "index.json"
        index = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        write_text(path, _lines({**index, **entry}))


def _lines(index: dict[str, Any]) -> str:
    """JSON with an array or a case a line."""
    return re.sub(r"\n {6,}|\n {4}(?=\})", " ", json.dumps(index, indent=2, sort_keys=True)).replace("{ ", "{") + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["cut"])
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--cases", default="a", help="the letters of the cases to keep (default: a)")
    parser.add_argument("--bytes", type=int, default=40000, help="of all arrays together (default: 40000)")
    args = parser.parse_args()
    for name in args.names:
        cut(name, large(), args.cases, args.bytes)


if __name__ == "__main__":
    main()
