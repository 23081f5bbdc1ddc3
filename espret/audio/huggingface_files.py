"""The files of a model for transformers: where they are, what they are called in provenance, and how they are read.

What is made of the network is in `espret.audio.huggingface`. No code from a model's folder is run, and no pickle is
unpacked but for tensors.
"""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, ClapAudioModel, ClapAudioModelWithProjection
from transformers.utils import logging

from espret.errors import EspretError
from espret.files import sha256_file, sha256_text

UNUSED = "masked_spec_embed"  # a tensor that is used in training only, and that not every checkpoint has
TEXTS = ("*.json",)
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")  # in the order that transformers looks for them


def model_folder(model: str) -> Path:
    """The folder with a model's files; of a name on the hub, that in its cache, brought up to date where the hub can be
    reached ($HF_HOME, $HF_ENDPOINT and $HF_HUB_OFFLINE count). Raises EspretError."""
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    mend = "mend: where there is a connection, 'hf download NAME --local-dir FOLDER'; then 'model: FOLDER' here"
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise EspretError(f"{model}: no such folder; expected a model that transformers has saved; {mend}")
    hub = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    try:
        folder = Path(hub.snapshot_download(model, allow_patterns=[*TEXTS, WEIGHTS[0]]))
        if not _weights(folder):
            folder = Path(hub.snapshot_download(model, allow_patterns=[*TEXTS, WEIGHTS[1]]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise EspretError(
            f"{model}: no such folder, and not to be had from the Hugging Face hub: {_line(error)}; {mend}"
        ) from None
    return folder


def _weights(folder: Path) -> list[Path]:
    """The files that the weights are read from: safetensors where there are any."""
    return next((found for pattern in WEIGHTS if (found := sorted(folder.glob(pattern)))), [])


def provenance(model: str, folder: Path) -> dict[str, Any]:
    files = _weights(folder)
    sums = [sha256_file(file) for file in files]
    lines = "".join(f"{digest}  {file.name}\n" for file, digest in zip(files, sums))
    about = {"checkpoint": files[0].name, "sha256": sums[0] if len(sums) == 1 else sha256_text(lines)}
    return {"model": model, **about, **({"files": len(files)} if len(files) > 1 else {})}


def read_model(folder: Path) -> tuple[Any, Any]:
    """The feature extractor and the network in a folder, in float32. Raises EspretError."""
    if not _weights(folder):
        raise EspretError(f"{folder}: no weights; expected model.safetensors (or pytorch_model.bin) beside config.json")
    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    with _quiet(folder):
        features = AutoFeatureExtractor.from_pretrained(folder, **safe)
        if not hasattr(features, "sampling_rate"):
            raise ValueError(f"{type(features).__name__} is made for no sounds")
        kind = _class(AutoConfig.from_pretrained(folder, **safe))
        network, loaded = kind.from_pretrained(
            folder, **safe, weights_only=True, dtype=torch.float32, output_loading_info=True
        )
    if missing := sorted(key for key in loaded["missing_keys"] if not key.endswith(UNUSED)):
        raise EspretError(f"{folder}: its weights lack {len(missing)} tensors of its config.json, first {missing[0]}")
    if network.config.is_encoder_decoder:
        network = network.get_encoder()
    for part in ("text_model", "text_projection"):  # of CLAP
        if hasattr(network, part):
            delattr(network, part)
    return features, network


def _class(config: Any) -> Any:
    """The class of a network; transformers chooses it but for CLAP's audio half by itself."""
    if config.model_type != "clap_audio_model":
        return AutoModel
    projects = "ClapAudioModelWithProjection" in (config.architectures or [])
    return ClapAudioModelWithProjection if projects else ClapAudioModel


@contextlib.contextmanager
def _quiet(folder: Path) -> Iterator[None]:
    """Without transformers' bars and hints, without a trace in torch's random numbers, with its errors as ours."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    except (
        SafetensorError, pickle.UnpicklingError, OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError
    ) as error:  # fmt: skip
        raise EspretError(
            f"{folder}: no audio encoder that transformers reads: {_line(error)}; expected config.json, "
            "preprocessor_config.json and weights, and no code of its own"
        ) from None
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
