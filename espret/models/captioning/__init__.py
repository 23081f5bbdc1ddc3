"""Captioning networks: adapters between encoder and decoder, and the decoders."""

from espret.registry import Registry

# An adapter maps a sequence [batch, length, dim] and mask [batch, length] to [batch, length, .dim].
ADAPTERS = Registry(
    "adapter",
    {
        "identity": "espret.models.captioning.adapters:IdentityAdapter",
        "mlp": "espret.models.captioning.adapters:MLPAdapter",
        "mha": "espret.models.captioning.adapters:MHAAdapter",
    },
)

# A decoder has forward(tokens, memory, mask, owner) for training; start, step and reorder for the search.
DECODERS = Registry(
    "decoder",
    {
        "transformer": "espret.models.captioning.decoder:TransformerDecoder",
    },
)
