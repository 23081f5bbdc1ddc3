"""Retrieval networks: towers for audio and text, poolings, contrastive losses."""

from espret.registry import Registry

# A pooling maps frames [batch, frames, dim] and mask [batch, frames] to [batch, .dim].
POOLINGS = Registry(
    "pooling",
    {
        "mean": "espret.models.retrieval.pooling:MeanPooling",
        "max": "espret.models.retrieval.pooling:MaxPooling",
        "meanmax": "espret.models.retrieval.pooling:MeanMaxPooling",
        "attention": "espret.models.retrieval.pooling:AttentionPooling",
    },
)

# A text encoder maps tokens [captions, length] (BOS ... EOS, PAD) to [captions, .dim].
TEXT_ENCODERS = Registry(
    "text encoder",
    {
        "words": "espret.models.retrieval.text_encoders:WordsEncoder",
        "transformer": "espret.models.retrieval.text_encoders:TransformerTextEncoder",
        "huggingface": "espret.models.retrieval.bert:HuggingFaceTextEncoder",
    },
)

# A loss maps similarities [captions, clips] and which of them belong together to a scalar (losses.Pairs).
LOSSES = Registry(
    "loss",
    {
        "nt_xent": "espret.models.retrieval.losses:NTXent",
        "triplet": "espret.models.retrieval.losses:Triplet",
    },
)
