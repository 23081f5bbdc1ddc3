"""A whole recipe with audio networks: CNN10 trained with a system, features of a frozen YAMNet beside it."""

import json

import pytest
import yaml
from whole_recipes import run_recipe

pytestmark = [pytest.mark.slow, pytest.mark.java, pytest.mark.timeout(1800)]


def system(recipe, task, features, audio):
    """The recipe's own system with other ears, for one epoch; returns the option that names it."""
    own = yaml.safe_load((recipe / f"conf/{task}/mini.yaml").read_text())
    own["features"], own["model"]["audio"] = features, audio
    own["train"] |= {"epochs": 1, "augment": []}
    path = recipe / f"conf/{task}/ears.yaml"
    path.write_text(yaml.safe_dump(own, sort_keys=False))
    return [f"--{task}-config", f"conf/{task}/ears.yaml"]


def test_trained_and_frozen_networks(repository, environment, tmp_path):
    recipe = repository / "egs/mini"
    data = recipe / "local/data.py"
    data.write_text(
        data.read_text().replace('"train": 400, "valid": 50, "test": 100', '"train": 12, "valid": 4, "test": 6')
    )
    panns = {"name": "panns_logmel", "sample_rate": 32000, "frontend": {"type": "panns_logmel"}, "dtype": "float16"}
    yamnet = {"name": "yamnet", "sample_rate": 16000, "frontend": {"type": "yamnet"}}
    options = system(recipe, "retrieval", panns, {"type": "panns", "variant": "cnn10", "checkpoint": "official"})
    options += system(recipe, "captioning", yamnet, {"type": "identity"})
    nowhere = {**environment, "ESPRET_CHECKPOINTS": str(tmp_path / "no checkpoints")}
    assert "espret fetch-checkpoint yamnet" in run_recipe(recipe, nowhere, *options, status=1)

    yamnet["frontend"]["checkpoint"] = "random"
    options = system(recipe, "captioning", yamnet, {"type": "identity"})
    options += system(recipe, "retrieval", panns, {"type": "panns", "variant": "cnn10", "checkpoint": "official"})
    assert "espret fetch-checkpoint cnn10" in run_recipe(recipe, nowhere, *options, status=1)

    options[-2:] = system(recipe, "retrieval", panns, {"type": "panns", "variant": "cnn10", "checkpoint": "random"})
    printed = run_recipe(recipe, nowhere, *options)
    assert "Successfully finished." in printed
    about = json.loads((recipe / "dump/yamnet/test/about.json").read_text())
    assert about["weights"] == {"checkpoint": "random"} and about["dim"] == 1024
    assert json.loads((recipe / "dump/panns_logmel/test/about.json").read_text())["dtype"] == "float16"
    results = [json.loads(line) for line in (recipe / "results.jsonl").read_text().splitlines()]
    assert {(row["task"], row["n_clips"]) for row in results} == {("retrieval", 6), ("captioning", 6)}

    # What was trained is used without the weights that it began with.
    path = recipe / "exp/retrieval_ears/seed1/config.yaml"
    path.write_text(path.read_text().replace("checkpoint: random", "checkpoint: official"))
    again = ["--stage", "4", "--stop-stage", "4", "--task", "retrieval", "--force"]
    assert "Successfully finished." in run_recipe(recipe, nowhere, *options, *again)
