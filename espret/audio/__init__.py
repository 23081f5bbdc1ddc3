"""Stage 1: front ends, which turn waveforms into frames, and the registry that names them.

A front end is a `torch.nn.Module` made with its options and the runtime argument `sample_rate` (Hz). Its forward maps
[batch, samples] to [batch, frames, dim]; `dim`, `hop_seconds` and `frames(samples)` describe what comes out.
"""

from espret.registry import Registry

# One line a front end.
FRONTENDS = Registry(
    "front end",
    {
        "logmel": "espret.audio.logmel:LogMel",
    },
)
