"""Where the files of a model of transformers are, what is fetched of them, and that reading them is safe."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers
from hub_server import publish
from web_server import serving

from espret.errors import EspretError
from espret.huggingface import (
    config_of,
    hub_folder,
    model_folder,
    provenance,
    text_encoder,
    tokenizer_of,
    weights,
)

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "bark", "##s"]
SIZES = {
    "vocab_size": len(WORDS), "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 32,
}  # fmt: skip


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A BERT as early repositories of the hub have it: a list of words, and sizes only in config.json."""
    folder = tmp_path / "; an 'old' BERT"
    transformers.BertModel(transformers.BertConfig(**SIZES)).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(SIZES))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, empty."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub cache"))
    return tmp_path / "hub cache"


@pytest.fixture
def offline(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return cache


def test_a_folder_is_its_own(bare: Path) -> None:
    assert model_folder(str(bare)) == bare


@pytest.mark.parametrize(
    "name", ["/no where/at all", "./nowhere", "~/nowhere at all", "a/b/c", "someone/nothing", "a b"]
)
def test_no_such_model(name: str, offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EspretError, match="no such folder.*mend: .*hf download"):
        model_folder(name)


def test_a_name_is_found_in_the_cache_of_the_hub(offline: Path) -> None:
    model = offline / "models--someone--some-net"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("0123abcd")
    (model / "snapshots" / "0123abcd").mkdir(parents=True)
    assert model_folder("someone/some-net") == model / "snapshots" / "0123abcd"


KEPT = ["config.json", "vocab.txt", "spiece.model", "1_Pooling/config.json"]
OTHERS = ["tf_model.h5", "onnx/config.json", "onnx/model.onnx", "openvino/config.json", "README.md", "run.py"]
SAFETENSORS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]


@pytest.mark.parametrize(
    ("beside", "fetched"),
    [
        ([*SAFETENSORS, "adapter_model.safetensors", "pytorch_model.bin"], SAFETENSORS),
        (["pytorch_model.bin", "training_args.bin"], ["pytorch_model.bin"]),
        (["0_Transformer/model.safetensors", "0_Transformer/pytorch_model.bin"], ["0_Transformer/model.safetensors"]),
        (["0_BERT/pytorch_model.bin"], ["0_BERT/pytorch_model.bin"]),
    ],
)
def test_what_is_fetched_of_a_model(
    beside: list[str], fetched: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as web:
        monkeypatch.setenv("HF_ENDPOINT", web.url)
        publish(web, "me/net", {name: name.encode() for name in [*KEPT, *OTHERS, *beside]})

        def found(folder: Path) -> list[str]:
            return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

        texts = [name for name in fetched if name.endswith(".json")]
        assert found(hub_folder("me/net", with_weights=False)) == sorted([*KEPT, *texts])
        folder = model_folder("me/net")
        assert found(folder) == sorted([*KEPT, *fetched])
        assert weights(folder) == [folder / name for name in fetched if name not in texts]
        with pytest.raises(EspretError, match="me/nothing: no such folder here, and not to be had.*hf download"):
            hub_folder("me/nothing")
    assert hub_folder("me/net") == folder, "without a connection, from the cache"


def test_provenance_of_one_file_and_of_several(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"old")
    assert provenance("x", tmp_path)["checkpoint"] == "pytorch_model.bin"
    (tmp_path / "model-1.safetensors").write_bytes(b"a")
    one = provenance("x", tmp_path)
    assert one["checkpoint"] == "model-1.safetensors" and one["sha256"].startswith("ca978112") and "files" not in one
    (tmp_path / "model-2.safetensors").write_bytes(b"b")
    two = provenance("x", tmp_path)
    assert two["files"] == 2 and two["sha256"] != one["sha256"] and two["model"] == "x"


def test_an_old_repository_is_read(bare: Path) -> None:
    assert config_of(bare).model_type == "bert"
    tokenizer = tokenizer_of(bare)
    ids = [WORDS.index(word) for word in ("[CLS]", "a", "dog", "bark", "##s", "[SEP]")]
    assert tokenizer("a dog barks")["input_ids"] == ids
    expected = transformers.BertModel.from_pretrained(bare, config=transformers.BertConfig(**SIZES)).eval()
    with torch.inference_mode():
        found = text_encoder(bare).eval()(input_ids=torch.tensor([ids])).last_hidden_state
        torch.testing.assert_close(found, expected(input_ids=torch.tensor([ids])).last_hidden_state)


def test_random_weights_need_no_file_and_leave_random_numbers_alone(bare: Path) -> None:
    (bare / "model.safetensors").unlink()
    state = torch.get_rng_state()
    assert text_encoder(bare, random=True).config.hidden_size == 8
    assert torch.equal(state, torch.get_rng_state())
    with pytest.raises(EspretError, match="no network that transformers reads.*expected config.json and weights"):
        text_encoder(bare)


def test_what_a_tokenizer_lacks_is_named(bare: Path) -> None:
    (bare / "config.json").write_text(json.dumps({"model_type": "xlm-roberta", **SIZES}))
    (bare / "vocab.txt").unlink()
    (bare / "sentencepiece.bpe.model").write_bytes(b"no model")
    with pytest.raises(EspretError, match="no tokenizer that transformers reads: .*expected tokenizer.json or vocab"):
        tokenizer_of(bare)


@pytest.mark.parametrize("read", [config_of, tokenizer_of, text_encoder])
def test_no_code_is_run_and_nobody_asked(
    read: Callable[[Path], Any], bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    (bare / "code.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'went off')!r})\n")
    own = {"AutoConfig": "code.C", "AutoModel": "code.M", "AutoTokenizer": ["code.T", None]}
    (bare / "config.json").write_text(json.dumps({"model_type": "mine", "auto_map": own}))
    (bare / "tokenizer_config.json").write_text(json.dumps({"auto_map": own}))
    with pytest.raises(EspretError, match="no code of its own"):
        read(bare)
    assert not (tmp_path / "went off").exists()


def test_devices_of_contexts_go_on_after_a_model_was_read(bare: Path) -> None:
    """transformers replaces torch.linspace in the first such context that a process may see."""
    code = (
        "import sys, pathlib, torch\n"
        "from espret.huggingface import text_encoder\n"
        "text_encoder(pathlib.Path(sys.argv[1]))\n"
        "with torch.device('meta'):\n"
        "    print(torch.linspace(0, 1, 3).device)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(bare)], capture_output=True, text=True, check=True)
    assert done.stdout == "meta\n"
