"""The detector of fluency errors of FENSE (Zhou et al. 2022; blmoistawinde/fense, release V0.1): a network on BERT.

A linear layer on the first token's vector gives one logit a class. The metric is in `fluency`. Imports torch and
transformers.
"""

from __future__ import annotations

import functools
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from espret.errors import EspretError
from espret.huggingface import text_encoder, tokenizer_of
from espret.scoring.fense import bert

# In the order of the logits: an unfinished tail, a repeated event, a repeated adverb, a missing conjunction, a missing
# verb, and any error at all.
CLASSES = ("add_tail", "repeat_event", "repeat_adv", "remove_conj", "remove_verb", "error")
MAX_TOKENS = 64


class Detector:
    """A detector read from a checkpoint: a torch file with model_type, num_classes and state_dict.

    `base` is the folder of BERT's config.json and tokenizer. Raises EspretError for anything else than such a file.
    """

    def __init__(self, checkpoint: dict[str, Any], file: Path, base: Path, device: str = "cpu") -> None:
        self.device = bert.device_of(device)
        self.tokenizer = tokenizer_of(base)
        encoder = text_encoder(base, random=True)
        linear = torch.nn.Linear(encoder.config.hidden_size, len(CLASSES))
        network = torch.nn.ModuleDict({"encoder": encoder, "clf": linear})
        # A buffer that BERT's state no longer has since transformers 4.31.
        state = {name: value for name, value in checkpoint["state_dict"].items() if not name.endswith(".position_ids")}
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            problem = " ".join(str(error).split())
            raise EspretError(f"{file} does not fit the BERT of {base}: {problem:.300}") from None
        self.network = network.eval().to(self.device)

    def probabilities(self, captions: list[str]) -> np.ndarray:
        """Probability of each class, float32 [captions, 6]. Punctuation and case do not count, nor what comes after 64
        tokens."""
        texts = [re.sub(r"[^\w\s]", "", caption).lower() for caption in captions]
        return bert.apply(self._probabilities, self.tokenizer, texts, MAX_TOKENS, self.device)

    def _probabilities(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        tokens = self.network["encoder"](**batch).last_hidden_state
        return torch.sigmoid(self.network["clf"](tokens[:, 0]))


def read_checkpoint(file: Path) -> dict[str, Any]:
    """The content of a detector's file, without running any code in it. Raises EspretError."""
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise EspretError(f"{file}: no such file") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise EspretError(f"{file}: not a detector's checkpoint that can be read safely: {reason:.200}") from None
    wanted = {"model_type": str, "num_classes": int, "state_dict": dict}
    for name, kind in wanted.items():
        if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(name), kind):
            raise EspretError(f"{file}: no detector of fluency errors: expected {', '.join(wanted)}, found no {name}")
    if checkpoint["num_classes"] != len(CLASSES):
        raise EspretError(
            f"{file}: {checkpoint['num_classes']} classes instead of {len(CLASSES)}: {', '.join(CLASSES)}"
        )
    return checkpoint


@functools.lru_cache(maxsize=2)
def load(file: Path, home: Path, device: str) -> Detector:
    """The detector of a file, kept. The BERT that it names lies beside the file or in `home`, under its name's last
    part; else it is the hub's."""
    checkpoint = read_checkpoint(file)
    name = checkpoint["model_type"]
    if not re.fullmatch(r"([\w-][\w.-]*/)?[\w-][\w.-]*", name):
        raise EspretError(f"{file}: model_type is {name!r:.80}, which names no model")
    for folder in (file.parent, home):
        if (base := folder / name.rsplit("/", 1)[-1] / "config.json").is_file():
            return Detector(checkpoint, file, base.parent, device)
    return Detector(checkpoint, file, bert.of_hub(name, with_weights=False), device)
