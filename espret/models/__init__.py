"""Stage 3's networks. This package owns what both tasks share; retrieval/ and captioning/ hold their own parts.

A network is made by `build(NETWORKS, system.model, dim=..., vocabulary=...)` and has `loss(batch) -> (loss, stats)`,
and for `train.accumulate` what espret/training/backward.py says; what else it needs depends on the task (see
espret/training/tasks.py and espret/decoding).
"""

from espret.registry import Registry

NETWORKS = Registry(
    "network",
    {
        "dual_encoder": "espret.models.retrieval.dual_encoder:DualEncoder",
        "captioner": "espret.models.captioning.captioner:Captioner",
    },
)

# An audio encoder maps features [batch, frames, dim] and lengths [batch] to the same with fewer frames; `.dim` out.
AUDIO_ENCODERS = Registry(
    "audio encoder",
    {
        "conv": "espret.models.encoders:ConvEncoder",
        "identity": "espret.models.encoders:IdentityEncoder",
        "panns": "espret.models.panns_encoder:PannsEncoder",
        "passt": "espret.models.passt_encoder:PasstEncoder",
    },
)
