"""Pretrained text encoders: what transformers computes of a caption, whatever stands beside it, and no files later."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor

from espret.config import build
from espret.data.datadir import DataDir
from espret.errors import EspretError
from espret.models.architecture import with_architectures
from espret.models.batch import pad_tokens
from espret.models.retrieval import TEXT_ENCODERS
from espret.models.retrieval.dual_encoder import DualEncoder
from espret.text import TOKENIZERS
from espret.text.prepare import load_tokenizer, prepare_text
from espret.text.tokenizers import BOS, EOS, PAD, UNK

# Not in the order of espret's special tokens, and [PAD] is not 0.
WORDS = ["[UNK]", "a", "[SEP]", "dog", "bark", "##s", "rain", "[PAD]", "loud", "[CLS]", "the", "and"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
KINDS = ("bert", "roberta", "mpnet")  # the last makes its own mask
CAPTIONS = ["a dog barks", "rain", "the loud rain and a zebra"]


def save(folder: Path, kind: str) -> None:
    """A random network with a word-piece tokenizer."""
    pieces = Tokenizer(models.WordPiece({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    pieces.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", WORDS.index("[CLS]")), ("[SEP]", WORDS.index("[SEP]"))]
    pieces.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    named = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=pieces, model_max_length=64, **named)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    options = {"vocab_size": len(WORDS), "max_position_embeddings": 70, "pad_token_id": WORDS.index("[PAD]")}
    config = transformers.AutoConfig.for_model(kind, **SIZES, **options)
    transformers.AutoModel.from_config(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pretrained 'nets'")
    for kind in KINDS:
        save(root / kind, kind)
    return {path.name: path for path in root.iterdir()}


@pytest.fixture
def tokenizer(folders: dict[str, Path]) -> Any:
    made = build(TOKENIZERS, {"type": "huggingface", "model": str(folders["bert"])})
    made.train([])
    return made


def encoder(folder: Path, vocabulary: int, **options: Any) -> Any:
    return build(TEXT_ENCODERS, {"type": "huggingface", "model": str(folder), **options}, vocabulary=vocabulary)


def batch(tokenizer: Any, captions: list[str]) -> Tensor:
    return pad_tokens([[BOS, *tokenizer.encode(caption), EOS] for caption in captions])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("output", ["cls", "mean"])
def test_captions_are_what_transformers_makes_of_them(
    kind: str, output: str, folders: dict[str, Path], tokenizer: Any
) -> None:
    network = encoder(folders[kind], len(tokenizer), output=output).eval()
    reference = transformers.AutoModel.from_pretrained(folders[kind]).eval()
    theirs = transformers.AutoTokenizer.from_pretrained(folders[kind])
    with torch.no_grad():
        found = network(batch(tokenizer, CAPTIONS))
        for row, caption in zip(found, CAPTIONS):
            hidden = reference(**theirs(caption, return_tensors="pt", return_token_type_ids=False)).last_hidden_state[0]
            expected = hidden[0] if output == "cls" else hidden.mean(0)
            torch.testing.assert_close(row, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_never_changes_a_vector(kind: str, folders: dict[str, Path], tokenizer: Any) -> None:
    network = encoder(folders[kind], len(tokenizer), output="mean").eval()
    tokens = batch(tokenizer, CAPTIONS)
    wide = torch.nn.functional.pad(tokens, (0, 7), value=PAD)
    with torch.no_grad():
        torch.testing.assert_close(network(tokens), network(wide), atol=1e-5, rtol=1e-5)


def test_tokens_are_the_models_after_those_of_espret(tokenizer: Any) -> None:
    assert len(tokenizer) == 4 + len(WORDS)
    assert tokenizer.encode("a dog barks") == [4 + WORDS.index(word) for word in ("a", "dog", "bark", "##s")]
    assert tokenizer.encode("zebra") == [UNK]
    assert "dog" in tokenizer.decode([BOS, *tokenizer.encode("a dog"), UNK, EOS, PAD])


def test_long_captions_are_cut_and_keep_their_end(folders: dict[str, Path]) -> None:
    options = {"type": "huggingface", "model": str(folders["bert"])}
    made = build(TOKENIZERS, {**options, "max_length": 5})
    made.train([])
    assert len(made.encode("rain " * 30)) == 3
    for length in (2, 65):
        with pytest.raises(EspretError, match=f"max_length {length}; expected at"):
            build(TOKENIZERS, {**options, "max_length": length}).train([])


def test_stage_2_leaves_all_that_later_stages_need(folders: dict[str, Path], tmp_path: Path) -> None:
    captions = {f"c{number}": caption for number, caption in enumerate(CAPTIONS)}
    DataDir(wav_scp={"u": "u.wav"}, text=captions, cap2utt=dict.fromkeys(captions, "u")).write(tmp_path / "data")
    model = tmp_path / "model"
    shutil.copytree(folders["bert"], model)
    out = tmp_path / "text 'x'"
    made = prepare_text({"type": "huggingface", "model": str(model)}, tmp_path / "data", out)
    shutil.rmtree(model)
    loaded = load_tokenizer(out)
    assert len(loaded) == len(made) and loaded.encode("the dog") == made.encode("the dog")
    assert all(path.is_file() for path in out.iterdir())  # an archive of an experiment holds no folders
    (out / "pretrained.json").write_text('{"tokenizer": "no"}')
    with pytest.raises(EspretError, match="pretrained.json: no tokenizer.*redo stage 2"):
        load_tokenizer(out)
    (out / "pretrained.json").unlink()
    with pytest.raises(EspretError, match="no such file; redo stage 2"):
        load_tokenizer(out)


def dual(text: dict[str, Any], vocabulary: int) -> tuple[dict[str, Any], DualEncoder]:
    parts = {"audio": {"type": "identity"}, "pooling": {"type": "mean"}, "loss": {"type": "nt_xent"}, "embedding": 4}
    return {**parts, "text": text}, DualEncoder(dim=3, vocabulary=vocabulary, text=text, **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_network_is_made_again_without_the_model(
    kind: str, folders: dict[str, Path], tokenizer: Any, tmp_path: Path
) -> None:
    shutil.copytree(folders[kind], tmp_path / "model")
    text = {"type": "huggingface", "model": str(tmp_path / "model"), "dropout": 0.2}
    model, network = dual(text, len(tokenizer))
    shutil.rmtree(tmp_path / "model")
    described = with_architectures(model, network)
    assert "architecture" not in text and described["audio"] == model["audio"]
    _, again = dual(described["text"], len(tokenizer))
    again.load_state_dict(network.state_dict())
    tokens = batch(tokenizer, CAPTIONS)
    with torch.no_grad():
        assert torch.equal(again.eval().embed_text(tokens), network.eval().embed_text(tokens))


def test_every_weight_is_trained(folders: dict[str, Path], tokenizer: Any) -> None:
    """Distributed training waits for gradients of all."""
    network = encoder(folders["bert"], len(tokenizer), dropout=0.0)
    network(batch(tokenizer, CAPTIONS)).sum().backward()
    assert [name for name, one in network.named_parameters() if one.grad is None] == []


def test_dropout_is_that_of_the_options(folders: dict[str, Path], tokenizer: Any) -> None:
    tokens = batch(tokenizer, CAPTIONS)
    without = encoder(folders["bert"], len(tokenizer), dropout=0.0)
    assert torch.equal(without.train()(tokens), without.train()(tokens))
    given = encoder(folders["bert"], len(tokenizer))
    assert not torch.equal(given.train()(tokens), given.train()(tokens))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype: torch.dtype, folders: dict[str, Path], tokenizer: Any) -> None:
    network = encoder(folders["bert"], len(tokenizer)).eval()
    tokens = batch(tokenizer, CAPTIONS)
    with torch.no_grad():
        expected = network(tokens)
    with torch.autocast("cpu", dtype):
        found = network(tokens)
        found.float().sum().backward()
    torch.testing.assert_close(found.float(), expected, atol=0.1, rtol=0.1)


def test_making_it_draws_no_random_numbers(folders: dict[str, Path], tokenizer: Any) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    encoder(folders["bert"], len(tokenizer))
    assert torch.equal(torch.rand(1), expected)


def test_what_does_not_fit_is_named(folders: dict[str, Path], tokenizer: Any, tmp_path: Path) -> None:
    with pytest.raises(EspretError, match="BertModel of 12 tokens, and the tokenizer has 996.*redo stage 2"):
        encoder(folders["bert"], 1000)
    with pytest.raises(EspretError, match="no such folder"):
        encoder(tmp_path / "nowhere", len(tokenizer))
    with pytest.raises(EspretError, match="architecture: no network that transformers knows"):
        encoder(folders["bert"], len(tokenizer), architecture={"model_type": "nosuch"})
    shutil.copytree(folders["bert"], tmp_path / "no end")
    config = tmp_path / "no end/tokenizer_config.json"
    config.write_text(config.read_text().replace('"sep_token"', '"other"'))
    with pytest.raises(EspretError, match="no end: its tokenizer, .* has no sep_token"):
        encoder(tmp_path / "no end", len(tokenizer))
