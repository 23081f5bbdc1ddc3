"""Stage 5, the numbers: caption metrics and retrieval metrics. Tables and reports are in espret.report."""

from espret.registry import Registry

# Caption metrics. Each is an espret.scoring.metric.Metric. One line a metric; the
# order is that of the tables. SPIDEr, made of two of them, is added by `evaluate`.
METRICS = Registry(
    "caption metric",
    {
        "BLEU": "espret.scoring.bleu:Bleu",
        "METEOR": "espret.scoring.meteor:Meteor",
        "ROUGE-L": "espret.scoring.rouge:RougeL",
        "CIDEr-D": "espret.scoring.cider:CiderD",
        "SPICE": "espret.scoring.spice:Spice",
    },
)
