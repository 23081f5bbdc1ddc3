"""Normalisation, tokenizers, and stage 2's folder."""

from pathlib import Path

import pytest

from espret.bin import main
from espret.data.datadir import DataDir
from espret.errors import EspretError
from espret.files import read_json
from espret.text import TOKENIZERS
from espret.text.normalise import normalise
from espret.text.prepare import load_tokenizer, prepare_text
from espret.text.tokenizers import BOS, EOS, PAD, UNK

CAPTIONS = ["A dog barks, loudly!", "A dog's bark; rain falls.", "Rain falls on a tin-roof"] * 4


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "données 'a b'"
    caps = {f"u{n:02d}-1": words for n, words in enumerate(CAPTIONS)}
    cap2utt = {cap: cap[:3] for cap in caps}
    DataDir(
        wav_scp={utt: f"{utt}.wav" for utt in cap2utt.values()},
        text=caps,
        cap2utt=cap2utt,
        utt2cap={utt: [cap] for cap, utt in cap2utt.items()},
    ).write(folder)
    return folder


def test_normalise_lowers_and_strips_punctuation_but_not_apostrophes() -> None:
    assert normalise("  A Dog's bark;\train -- falls (on a tin-roof). ") == "a dog's bark rain falls on a tin roof"
    assert normalise("...!") == ""


@pytest.mark.parametrize("kind", sorted(set(TOKENIZERS) - {"huggingface"}))  # tests/models/test_pretrained_text.py
def test_tokenizers_round_trip_through_their_folder(kind: str, data: Path, tmp_path: Path) -> None:
    options = {"type": kind} if kind == "word" else {"type": kind, "vocabulary": 25}
    trained = prepare_text(options, data, tmp_path / "out")
    loaded = load_tokenizer(tmp_path / "out")
    caption = "a dog's bark rain falls on a tin roof"
    ids = loaded.encode(caption)
    assert ids == trained.encode(caption)
    assert loaded.decode([BOS, *ids, EOS, PAD]) == caption
    assert not {PAD, BOS, EOS, UNK} & set(ids)
    assert max(ids) < len(loaded) == len(trained)


def test_rare_and_new_words_are_unknown(data: Path, tmp_path: Path) -> None:
    prepare_text({"type": "word", "min_count": 5}, data, tmp_path / "out")
    words = (tmp_path / "out/words.txt").read_text().split()
    tokenizer = load_tokenizer(tmp_path / "out")
    assert tokenizer.encode("rain barks zebra") == [words.index("rain"), UNK, UNK]


def test_statistics_count_words_and_unknown_ones(data: Path, tmp_path: Path) -> None:
    prepare_text({"type": "word", "min_count": 5}, data, tmp_path / "out")
    stats = read_json(tmp_path / "out/stats.json")
    assert stats["train"]["captions"] == 12
    assert stats["train"]["words"] == 4 * (4 + 5 + 6)
    assert stats["train"]["max_length"] == 6
    assert stats["train"]["unknown"] == pytest.approx(100 * (3 + 2 + 3) / 15, abs=1e-3)


def test_too_many_pieces_is_an_error_that_names_the_option(data: Path, tmp_path: Path) -> None:
    with pytest.raises(EspretError, match=r"text\.tokenizer\.vocabulary 5000"):
        prepare_text({"type": "bpe", "vocabulary": 5000}, data, tmp_path / "out")


def test_folder_without_tokenizer_says_which_stage(tmp_path: Path) -> None:
    with pytest.raises(EspretError, match="stage 2"):
        load_tokenizer(tmp_path)


def test_damaged_word_list_is_refused(data: Path, tmp_path: Path) -> None:
    prepare_text({"type": "word"}, data, tmp_path / "out")
    (tmp_path / "out/words.txt").write_text("dog\n")
    with pytest.raises(EspretError, match=r"words\.txt:1"):
        load_tokenizer(tmp_path / "out")


def test_verb(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        "features: {name: f, frontend: {type: logmel}}\ntext: {name: w, tokenizer: {type: word}}\nmodel: {type: x}\n"
    )
    assert main(["text", "--config", str(config), "--data", str(data), "--out", str(tmp_path / "o.partial")]) == 0
    assert "12 captions" in capsys.readouterr().out
    assert len(load_tokenizer(tmp_path / "o.partial")) == 4 + 11
