"""Models of the transformers package: where their files are, what provenance calls them, and how they are read safely.

A model is a folder that `save_pretrained` wrote, or a name on the Hugging Face hub. No code from its files is run,
and no pickle is unpacked but for tensors. What is made of networks lives in espret/audio/huggingface.py (sounds),
espret/text/pretrained.py and espret/models/retrieval/bert.py (captions to train on) and espret/scoring/fense.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertConfig
from transformers.utils import logging

from espret.errors import EspretError
from espret.files import read_json, sha256_file, sha256_text

TEXTS = ("*.json", "*.txt", "*.model")  # configuration and tokenizer; word lists and sentencepiece's of older models
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")  # in the order that transformers looks for them
COPIES = ("onnx/*", "openvino/*")  # of the same model for other programs
SAFE: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
MEND = "mend: where there is a connection, 'hf download NAME --local-dir FOLDER'; then name FOLDER here"
MALFORMED = (
    SafetensorError, pickle.UnpicklingError, OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError
)  # fmt: skip

# torch notes once which functions a device context changes. It has to do so before transformers, which replaces one of
# them (linspace) while it reads a model in such a context: else that one would go to no context's device ever after.
with torch.device("cpu"):
    torch.empty(0)


def model_folder(model: str) -> Path:
    """The folder with a model's files; of a name on the hub, that of `hub_folder`. Raises EspretError."""
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise EspretError(f"{model}: no such folder; expected a model that transformers has saved; {MEND}")
    return hub_folder(model)


def hub_folder(name: str, with_weights: bool = True) -> Path:
    """The files of a model on the Hugging Face hub: its folder in the cache, brought up to date where the hub can be
    reached ($HF_HOME, $HF_ENDPOINT and $HF_HUB_OFFLINE count). Raises EspretError."""
    hub = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    try:
        folder = _fetched(hub, name, WEIGHTS[0] if with_weights else None)
        if with_weights and not weights(folder):
            folder = _fetched(hub, name, WEIGHTS[1])
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise EspretError(
            f"{name}: no such folder here, and not to be had from the Hugging Face hub: {_line(error)}; {MEND}"
        ) from None
    return folder


def _fetched(hub: HfApi, name: str, wanted: str | None) -> Path:
    # Of Sentence-BERT, the network may lie in a folder of the first module's own.
    patterns = [*TEXTS, wanted, f"0_*/{wanted}"] if wanted else [*TEXTS]
    return Path(hub.snapshot_download(name, allow_patterns=patterns, ignore_patterns=[*COPIES]))


def weights(folder: Path) -> list[Path]:
    """The files that the weights are read from: safetensors where there are any."""
    places = [f"{place}{pattern}" for pattern in WEIGHTS for place in ("", "0_*/")]
    return next((found for place in places if (found := sorted(folder.glob(place)))), [])


def provenance(model: str, folder: Path) -> dict[str, Any]:
    """What a model is called, and the name and hash of its weights; of several files, the hash of their hashes."""
    files = weights(folder)
    sums = [sha256_file(file) for file in files]
    lines = "".join(f"{digest}  {file.name}\n" for file, digest in zip(files, sums))
    about = {"checkpoint": files[0].name, "sha256": sums[0] if len(sums) == 1 else sha256_text(lines)}
    return {"model": model, **about, **({"files": len(files)} if len(files) > 1 else {})}


def config_of(folder: Path) -> Any:
    """A folder's config.json; early ones, that of prajjwal1/bert-tiny among them, do not say that they are of a BERT.
    Raises EspretError."""
    values = read_json(folder / "config.json")
    kind = AutoConfig if isinstance(values, dict) and "model_type" in values else BertConfig
    with reading(folder, "config.json", "that of a model that this transformers knows"):
        return kind.from_pretrained(folder, **SAFE)


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer that a folder describes. Raises EspretError."""
    config = config_of(folder)
    with reading(folder, "tokenizer", "tokenizer.json or vocab.txt beside config.json"):
        return AutoTokenizer.from_pretrained(folder, config=config, **SAFE)


def text_encoder(folder: Path, random: bool = False) -> Any:
    """The encoder of a folder, in float32, with its weights or, of its config.json alone, with `random` ones. Raises
    EspretError."""
    config = config_of(folder)
    with reading(folder, "network", "config.json and weights"):
        if random:
            return AutoModel.from_config(config, trust_remote_code=False, dtype=torch.float32)
        # A pooler is not read by anything here, and not every checkpoint has one.
        return network_of(folder, AutoModel, config, unused=r"pooler\..*")


def network_of(folder: Path, kind: Any, config: Any, unused: str) -> Any:
    """A network of class `kind` with the weights in a folder, in float32, to be called within `reading`. Raises
    EspretError where tensors are missing whose names do not match `unused`."""
    network, loaded = kind.from_pretrained(
        folder, config=config, **SAFE, weights_only=True, dtype=torch.float32, output_loading_info=True
    )
    if missing := sorted(key for key in loaded["missing_keys"] if not re.fullmatch(unused, key)):
        raise EspretError(f"{folder}: its weights lack {len(missing)} tensors of its config.json, first {missing[0]}")
    return network


@contextlib.contextmanager
def reading(folder: Path, what: str, expected: str) -> Iterator[None]:
    """Without transformers' bars and hints, without a trace in torch's random numbers, with its errors as ours."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    except MALFORMED as error:
        raise EspretError(
            f"{folder}: no {what} that transformers reads: {_line(error)}; expected {expected}, and no code of its own"
        ) from None
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
