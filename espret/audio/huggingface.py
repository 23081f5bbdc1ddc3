"""Audio encoders of the transformers package as frozen networks: AST, CLAP, Whisper, wav2vec 2.0, WavLM, HuBERT, ...

A network hears waveforms at the model's rate through the model's own feature extractor. Where a model's files are and
how they are read is in `espret.huggingface`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, ClapAudioModel, ClapAudioModelWithProjection

from espret.audio.network import Extractor, check_rate, heard_by_length
from espret.errors import EspretError
from espret.huggingface import SAFE, model_folder, network_of, provenance, reading, weights

SECONDS = 30  # of a window for networks that hear clips of any length
AST = "audio-spectrogram-transformer"
UNUSED = r".*masked_spec_embed"  # a tensor that is used in training only, and that not every checkpoint has
AT_A_TIME = {"cpu": 4, "cuda": 32}  # windows in the network at a time: bounds memory


class HuggingFaceAudio(Extractor):
    """A frozen encoder of transformers. `model`: a folder that `save_pretrained` wrote, or a name on the Hugging Face
    hub, whose files are taken from its cache or downloaded.

    `output`: "frames", or "pooled", one frame for the clip: of AST the mean of its class and distillation tokens, of
    CLAP what it compares with texts (of several windows averaged by their share of the clip), else the mean of all
    frames.
    Frames of AST and CLAP are averages over frequency. `layer`: -1, the network's output, or one of its hidden states
    (0: what goes into the first layer; CLAP: only -1).

    Clips are heard in windows of the length that the model was made for (AST 10.24 s, CLAP 10 s, Whisper 30 s), the
    last one filled up as its feature extractor does, and only the frames within the clip are kept, but at least one of
    a window. Convolutional front ends (wav2vec 2.0, WavLM, HuBERT, ...) hear 30 s at a time, of which the next begins
    where frames go on, so that there are as many as without windows. All others hear 30 s, the last filled with zeros.
    """

    def __init__(
        self, sample_rate: int, model: str, layer: int = -1, output: Literal["frames", "pooled"] = "frames"
    ) -> None:
        super().__init__()
        folder = model_folder(model)
        self.features, self.network = _read(folder)
        self.provenance = provenance(model, folder)
        self.config: Any = self.network.config
        self.sample_rate = check_rate(f"huggingface ({model})", sample_rate, self.features.sampling_rate)
        self.layer, self.output, self.kind = layer, output, self.config.model_type.removesuffix("_audio_model")
        # Samples that a frame hears, and from one to the next: of convolutions over samples.
        self.field, self.hop = _convolutions(self.config)
        self.window, self.shortest = self._sizes()
        self.own_pooling = output == "pooled" and layer == -1 and self.kind in ("clap", AST)
        self._measure(model)

    def _sizes(self) -> tuple[int, int]:
        """Samples from one window to the next, and those that a window has at least, zeros at its end included."""
        if self.kind == AST:
            return self.features.max_length * self.sample_rate // 100, self.sample_rate // 40
        for name in ("n_samples", "nb_max_samples"):  # Whisper's and CLAP's feature extractors, which fill windows up
            if size := getattr(self.features, name, 0):
                return int(size), 1
        size = SECONDS * self.sample_rate // self.hop * self.hop
        return size, self.field if self.hop > 1 else size

    def _measure(self, model: str) -> None:
        """Find out what the network makes of a window. Raises EspretError where this is no frames."""
        heard = torch.zeros(self.window if self.hop == 1 else self.field)
        try:
            with torch.inference_mode():
                found = self.eval()._ask([heard])
        except (ValueError, TypeError, IndexError, KeyError, RuntimeError, AttributeError) as error:
            raise EspretError(
                f"{model}: no frames of layer {self.layer} from its network of type '{self.config.model_type}': "
                f"{error!s:.200}; expected an audio encoder that gives vectors over time, and a layer that it has"
            ) from None
        self.per_window, self.dim = found.shape[1:]
        hop = self.hop if self.hop > 1 else self.window / self.per_window
        self.hop_seconds = 0.0 if self.output == "pooled" else hop / self.sample_rate

    def frames(self, samples: int) -> int:
        """Frames that come out of a clip of `samples`."""
        return 1 if self.output == "pooled" else self._frames(samples)

    def _frames(self, samples: int) -> int:
        if self.hop > 1:
            return 1 + max(0, samples - self.field) // self.hop
        whole, rest = divmod(samples, self.window)
        return self.per_window * whole + -(-rest * self.per_window // self.window)

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] float32, about -1..1 -> [batch, frames, dim] float32."""
        return torch.stack(self.extract(samples.unbind()))

    def extract(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """The frames [frames, dim] of clips [samples] of any lengths; windows of all go through the network together, a
        bounded number at a time."""
        cut = [self._cut(clip) for clip in clips]
        heard = iter(self._hear([window for windows in cut for window in windows]))
        return [self._join([next(heard) for _ in windows], len(clip)) for windows, clip in zip(cut, clips)]

    def _cut(self, clip: Tensor) -> list[Tensor]:
        """The windows of a clip. Of convolutions, each holds what the frames that begin within it hear."""
        overlap = self.field - self.hop
        starts = range(0, max(1, len(clip) - self.field + 1), self.window)
        windows = [clip[start : start + self.window + overlap] for start in starts]
        return [F.pad(window, (0, max(0, self.shortest - len(window)))) for window in windows]

    def _hear(self, windows: list[Tensor]) -> list[Tensor]:
        """What the network makes of each window: [frames, dim]."""
        at_a_time = AT_A_TIME.get(windows[0].device.type, 4)
        # Convolutions hear all of their input; the others' feature extractors make all windows equally long.
        return heard_by_length(windows, self._ask, at_a_time, len if self.hop > 1 else lambda window: 0)

    def _ask(self, windows: list[Tensor]) -> Tensor:
        """Windows [samples] -> [windows, frames, dim], of the network's own pooling one frame each."""
        device = windows[0].device
        network = getattr(self.network, "audio_model", self.network)
        made = network(**self._inputs(windows).to(device), output_hidden_states=self.layer != -1)
        if not self.own_pooling:
            states = made.last_hidden_state if self.layer == -1 else made.hidden_states[self.layer]
            return self._over_time(states).float()
        pooled = made.pooler_output
        if hasattr(self.network, "audio_projection"):
            pooled = F.normalize(self.network.audio_projection(pooled), dim=-1)
        return pooled[:, None].float()

    def _inputs(self, windows: list[Tensor]) -> Any:
        """What the feature extractor makes of windows [samples]."""
        arrays = [window.float().cpu().numpy() for window in windows]
        made = self.features(arrays, sampling_rate=self.sample_rate, return_tensors="pt")
        if "is_longer" in made:  # drawn at random by CLAP's, to be one of a batch at least
            made["is_longer"] = torch.zeros_like(made["is_longer"])
        return made

    def _over_time(self, states: Tensor) -> Tensor:
        """[windows, frames, dim] of what a layer gives."""
        if self.kind == "clap":  # [windows, dim, frequency, time]
            if self.layer != -1:
                raise ValueError("layers of CLAP differ in size")
            return states.mean(dim=2).transpose(1, 2)
        if self.kind == AST:  # [windows, 2 + frequency * time, dim]
            rows = (self.config.num_mel_bins - self.config.patch_size) // self.config.frequency_stride + 1
            return states[:, 2:].unflatten(1, (rows, -1)).mean(dim=1)
        if states.ndim != 3:
            raise ValueError(f"an output of shape {list(states.shape)}")
        return states

    def _join(self, heard: list[Tensor], samples: int) -> Tensor:
        """[frames, dim] of a clip from those of its windows."""
        frames = torch.cat(heard)
        if not self.own_pooling:
            frames = frames[: self._frames(samples)]
            return frames.mean(dim=0, keepdim=True) if self.output == "pooled" else frames
        starts = torch.arange(0, samples, self.window, device=frames.device)
        shares = (samples - starts).clamp(max=self.window) / samples
        return shares[None] @ frames


def _read(folder: Path) -> tuple[Any, Any]:
    """The feature extractor and the network in a folder, in float32. Raises EspretError."""
    if not weights(folder):
        raise EspretError(f"{folder}: no weights; expected model.safetensors (or pytorch_model.bin) beside config.json")
    with reading(folder, "audio encoder", "config.json, preprocessor_config.json and weights"):
        features = AutoFeatureExtractor.from_pretrained(folder, **SAFE)
        if not hasattr(features, "sampling_rate"):
            raise ValueError(f"{type(features).__name__} is made for no sounds")
        config = AutoConfig.from_pretrained(folder, **SAFE)
        network = network_of(folder, _class(config), config, UNUSED)
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


def _convolutions(config: Any) -> tuple[int, int]:
    """Samples that a frame hears and from a frame to the next; (1, 1) for networks that hear no bare waveform."""
    kernels, strides = getattr(config, "conv_kernel", None), getattr(config, "conv_stride", None)
    if not kernels or not strides or getattr(config, "add_adapter", False):
        return 1, 1
    field = 1 + sum((kernel - 1) * math.prod(strides[:layer]) for layer, kernel in enumerate(kernels))
    return field, math.prod(strides)
