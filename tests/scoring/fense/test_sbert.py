"""SBERT: embeddings equal those of the sentence-transformers package, and what is not such a model is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bert
from hub_server import publish
from tiny_bert import CAPTIONS, write, write_sbert
from web_server import serving

from espret.errors import EspretError
from espret.scoring.fense import install as fense_install
from espret.scoring.fense import sbert
from espret.scoring.fense.sbert import Sbert, SbertRaw
from espret.scoring.metric import Captions, Settings, Unavailable

GOLDENS = json.loads((Path(__file__).parents[2] / "goldens/scoring/fense_networks.json").read_text(encoding="utf-8"))


def model(folder: Path, device: str = "cpu") -> Any:
    from espret.scoring.fense.sentence_bert import SentenceBert

    return SentenceBert(folder, device)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sbert(
        tmp_path_factory.mktemp("models") / "mein 'böses' Modell", max_seq_length=24, do_lower_case=False
    )


def test_mean_pooling_and_the_models_limit(folder: Path) -> None:
    vectors = model(folder).embed(CAPTIONS)
    assert vectors.shape == (6, 16) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, GOLDENS["sbert"]["mean"], atol=1e-6)


def test_other_pooling_and_normalisation(tmp_path: Path) -> None:
    cls = model(write_sbert(tmp_path / "cls", "cls_token", ("Transformer", "Pooling", "Normalize")))
    np.testing.assert_allclose(cls.embed(CAPTIONS), GOLDENS["sbert"]["cls"], atol=1e-6)
    largest = model(write_sbert(tmp_path / "max", "max_tokens", do_lower_case=True))
    np.testing.assert_allclose(largest.embed(CAPTIONS), GOLDENS["sbert"]["max"], atol=1e-6)


def test_as_later_releases_write_it(tmp_path: Path) -> None:
    folder = write_sbert(
        tmp_path, transformer_task="feature-extraction", module_output_name="token_embeddings", modality_config={}
    )
    write(folder / "1_Pooling/config.json", {"embedding_dimension": 16, "pooling_mode": "mean", "include_prompt": True})
    write(folder / "tokenizer_config.json", {"model_max_length": 24, "tokenizer_class": "BertTokenizer"})
    np.testing.assert_allclose(model(folder).embed(CAPTIONS), GOLDENS["sbert"]["mean"], atol=1e-6)


def test_weights_as_a_torch_file(tmp_path: Path) -> None:
    import torch

    folder = write_sbert(tmp_path, max_seq_length=24)
    (folder / "model.safetensors").unlink()
    torch.save(tiny_bert.bert_state(), folder / "pytorch_model.bin")
    np.testing.assert_allclose(model(folder).embed(CAPTIONS), GOLDENS["sbert"]["mean"], atol=1e-6)


def test_order_and_company_do_not_count(folder: Path) -> None:
    sentences = [f"{caption} {number}" for number in range(40) for caption in CAPTIONS]
    one = model(folder)
    together = one.embed(sentences)
    np.testing.assert_allclose(together[::-1], one.embed(sentences[::-1]), atol=1e-6)
    np.testing.assert_allclose(together[[7]], one.embed(sentences[7:8]), atol=1e-6)


def captions() -> Captions:
    hyps, refs = ["a dog barks", ""], [["a dog barks", "a bird", "a bird"], ["rain"]]
    return Captions(["x", "y"], hyps, refs, ["A dog barks!", ""], [["a dog barks", "a bird", "A bird?"], ["(rain)"]])


@pytest.mark.parametrize("metric", [Sbert, SbertRaw])
def test_the_metric_is_the_mean_cosine_with_each_reference(folder: Path, metric: type[Sbert]) -> None:
    of = captions()
    result = metric(Settings(sbert=str(folder))).score(of)
    hyps, refs = (of.raw_hyps, of.raw_refs) if metric is SbertRaw else (of.hyps, of.refs)
    one = model(folder)
    expected = [np.mean(one.embed([hyp]) @ one.embed(list(many)).T) for hyp, many in zip(hyps, refs)]
    (name,) = metric.names
    np.testing.assert_allclose(result.items[name], expected, atol=1e-6)
    assert result.corpus == {name: pytest.approx(np.mean(expected), abs=1e-6)}


def test_each_distinct_caption_is_embedded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from espret.scoring.fense import sentence_bert

    asked: list[list[str]] = []
    real = sentence_bert.SentenceBert.embed
    monkeypatch.setattr(
        sentence_bert.SentenceBert, "embed", lambda self, texts: asked.append(texts) or real(self, texts)
    )
    Sbert(Settings(sbert=str(folder))).score(captions())
    assert [sorted(texts) for texts in asked] == [["", "a bird", "a dog barks", "rain"]]


def change(folder: Path, file: str, value: Any) -> None:
    write(folder / file, value)


@pytest.mark.parametrize(
    "file, value, message",
    [
        ("modules.json", [{"type": "sentence_transformers.models.CLIPModel", "path": ""}], "found the modules .*CLIP"),
        ("modules.json", [{"type": "os.Transformer", "path": ""}, {"type": "os.Pooling", "path": "x"}], "os.Transf"),
        ("modules.json", {"type": "x"}, "expected a list"),
        ("1_Pooling/config.json", {"pooling_mode_lasttoken": True}, "pools by lasttoken; known: one of mean"),
        ("1_Pooling/config.json", {"pooling_mode": ["mean", "max"]}, "pools by mean and max"),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": False}, "pools by nothing"),
        ("1_Pooling/config.json", {"pooling_mode": "mean", "scale": 2}, "unknown setting scale"),
        ("1_Pooling/config.json", ["mean"], "expected an object"),
        ("sentence_bert_config.json", {"max_length": 3}, "unknown setting max_length"),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "transformer_task is 'fill-mask'"),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "prompt"),
        ("config.json", {"model_type": "nonsense"}, "no config.json that transformers reads"),
    ],
)
def test_what_is_not_such_a_model_is_refused(tmp_path: Path, file: str, value: Any, message: str) -> None:
    change(write_sbert(tmp_path), file, value)
    with pytest.raises(EspretError, match=message):
        model(tmp_path)


def test_a_module_outside_the_folder_is_refused(tmp_path: Path) -> None:
    kinds = ("Transformer", "Pooling")
    rows = [{"type": f"sentence_transformers.models.{kind}", "path": "../../etc"} for kind in kinds]
    change(write_sbert(tmp_path), "modules.json", rows)
    with pytest.raises(EspretError, match="outside the model's folder"):
        model(tmp_path)


def test_weights_that_lack_tensors_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = tiny_bert.bert_state()
    del state["encoder.layer.1.output.dense.bias"]
    save_file(state, write_sbert(tmp_path) / "model.safetensors")
    with pytest.raises(EspretError, match="lack 1 tensors of its config.json, first encoder.layer.1.output.dense.bias"):
        model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(EspretError, match="no network that transformers reads"):
        model(tmp_path)


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    import torch

    write_sbert(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"x": Path("harmful")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(EspretError, match="no network that transformers reads"):
        model(tmp_path)


def test_no_model_and_no_device(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESPRET_FENSE", str(tmp_path))
    with pytest.raises(Unavailable, match="Sentence-BERT is not in .*; run .*fense"):
        Sbert(Settings()).score(captions())
    with pytest.raises(EspretError, match="--sbert ./nothing: no such folder"):
        Sbert(Settings(sbert="./nothing")).score(captions())
    with pytest.raises(EspretError, match="no modules.json"):
        Sbert(Settings(sbert=str(tmp_path))).score(captions())
    with pytest.raises(EspretError, match="--device nonsense: torch cannot use it"):
        Sbert(Settings(sbert=str(folder), device="nonsense")).score(captions())
    monkeypatch.setattr(sbert.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="transformers is missing; run "):
        Sbert(Settings()).score(captions())


def test_the_installed_model(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESPRET_FENSE", str(tmp_path))
    write_sbert(tmp_path / fense_install.SBERT, max_seq_length=24)
    write(tmp_path / "installed.json", {})
    items = Sbert(Settings()).score(captions()).items
    assert items == Sbert(Settings(sbert=str(folder))).score(captions()).items


def test_a_model_of_the_hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    files = [path for path in folder.rglob("*") if path.is_file()]
    with serving() as web:
        monkeypatch.setenv("HF_ENDPOINT", web.url)
        publish(web, "me/tiny", {path.relative_to(folder).as_posix(): path.read_bytes() for path in files})
        found = Sbert(Settings(sbert="me/tiny")).score(captions())
        assert found == Sbert(Settings(sbert=str(folder))).score(captions())
    with pytest.raises(Unavailable, match="transformers/nothing: .*Hugging Face hub: .*; or name none and run "):
        Sbert(Settings(sbert="nothing")).score(captions())


def test_nothing_heavy_is_imported_before_it_scores() -> None:
    code = (
        "import sys; import espret.bin.score_captions, espret.doctor\n"
        "import espret.scoring.fense.sbert, espret.scoring.fense.fluency\n"
        "print([name for name in ('torch', 'transformers', 'huggingface_hub', 'requests') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_loading_leaves_no_trace_in_torch(folder: Path) -> None:
    import torch
    from transformers.utils import logging

    before, verbosity = torch.random.get_rng_state(), logging.get_verbosity()
    model(folder)
    assert torch.equal(before, torch.random.get_rng_state())
    assert verbosity == logging.get_verbosity() and logging.is_progress_bar_enabled()
