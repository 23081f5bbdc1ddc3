"""Stage 5, the numbers: caption metrics and retrieval metrics. Tables and reports are in espret.report."""

from espret.registry import Registry

# Caption metrics. Each is an espret.scoring.metric.Metric. One line a metric; the
# order is that of the tables. SPIDEr, made of two of them, is added by `evaluate`.
METRICS = Registry(
    "caption metric",
    {
        "BLEU": "espret.scoring.bleu:Bleu",
        "METEOR": "espret.scoring.meteor.metric:Meteor",
        "ROUGE-L": "espret.scoring.rouge:RougeL",
        "CIDEr-D": "espret.scoring.cider:CiderD",
        "SPICE": "espret.scoring.spice.metric:Spice",
        "SBERT": "espret.scoring.fense.sbert:Sbert",
        "FER": "espret.scoring.fense.fluency:Fluency",
        "SBERT-raw": "espret.scoring.fense.sbert:SbertRaw",
        "FER-raw": "espret.scoring.fense.fluency:FluencyRaw",
    },
)

# Caption metrics whose value of a set is made of sums over its items (`Result.statistics`) and is not their mean: the
# function that makes it, sums [..., k] -> {name: values [...]}.
SUMMED = Registry(
    "caption metric of sums",
    {
        "BLEU": "espret.scoring.bleu:of_sums",
        "METEOR": "espret.scoring.meteor.metric:of_sums",
    },
)
