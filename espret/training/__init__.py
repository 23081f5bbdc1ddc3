"""Stage 3: the training loop, which knows nothing of the task, and what it is made of."""

from espret.registry import Registry

RETRIEVAL, CAPTIONING = "retrieval", "captioning"

# What a task adds to the loop: validation metrics (tasks.py says what a task has).
TASKS = Registry(
    "task",
    {
        RETRIEVAL: "espret.training.tasks:Retrieval",
        CAPTIONING: "espret.training.tasks:Captioning",
    },
)

OPTIMIZERS = Registry(
    "optimizer",
    {
        "adam": "espret.training.optim:Adam",
        "adamw": "espret.training.optim:AdamW",
        "ranger": "espret.training.ranger:Ranger",
        "sgd": "espret.training.optim:SGD",
    },
)

# A schedule is a pure function of the position in the run, factor(epoch, epochs): nothing of it needs saving.
SCHEDULES = Registry(
    "schedule",
    {
        "constant": "espret.training.optim:Constant",
        "step": "espret.training.optim:Step",
        "cosine": "espret.training.optim:Cosine",
        "inverse_sqrt": "espret.training.optim:InverseSqrt",
    },
)

# An augmentation maps (feats [batch, frames, dim], lengths [batch]) to new feats, in training only.
AUGMENTATIONS = Registry(
    "augmentation",
    {
        "spec_augment": "espret.training.augment:SpecAugment",
        "gain": "espret.training.augment:Gain",
    },
)
