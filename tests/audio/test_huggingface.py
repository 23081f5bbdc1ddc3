"""Tiny random networks of transformers, saved and read back: frames, windows, layers, pooling, files that are wrong."""

import os
import pickle
from pathlib import Path

import pytest
import torch
import transformers
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    ClapAudioConfig,
    ClapAudioModel,
    ClapAudioModelWithProjection,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    HubertConfig,
    HubertModel,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from espret.audio import huggingface
from espret.audio.huggingface import HuggingFaceAudio
from espret.errors import EspretError

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
WAVES = {
    **SIZES, "conv_dim": [16] * 3, "conv_kernel": [10, 4, 4], "conv_stride": [5, 4, 4], "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "vocab_size": 10,
}  # fmt: skip
FIELD, HOP = 10 + 3 * 5 + 3 * 20, 80  # samples that a frame of WAVES hears, and from one to the next
SWIN = {
    "num_hidden_layers": 2, "hidden_size": 32, "patch_embeds_hidden_size": 16, "depths": [1, 1], "spec_size": 32,
    "num_attention_heads": [2, 2], "num_mel_bins": 8, "window_size": 4, "projection_dim": 12,
}  # fmt: skip
WHISPER = {
    "d_model": 16, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32,
    "decoder_attention_heads": 2, "decoder_ffn_dim": 32, "vocab_size": 60, "num_mel_bins": 8, "pad_token_id": 0,
    "max_source_positions": 50, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip
FUSED = ClapFeatureExtractor(feature_size=8, max_length_s=1, truncation="fusion")
UNFUSED = ClapFeatureExtractor(feature_size=8, max_length_s=1, truncation="rand_trunc")


def clap(fused):
    parts = {"audio_config": {**SWIN, "enable_fusion": fused}, "text_config": {**SIZES, "vocab_size": 30}}
    return ClapModel(ClapConfig(**parts, projection_dim=12))


KINDS = {
    "ast": lambda: (
        ASTForAudioClassification(ASTConfig(**SIZES, max_length=64, num_mel_bins=32)),
        ASTFeatureExtractor(max_length=64, num_mel_bins=32),
    ),
    "clap": lambda: (clap(False), UNFUSED),
    "clap_fused": lambda: (clap(True), FUSED),
    "clap_audio": lambda: (ClapAudioModel(ClapAudioConfig(**SWIN)), UNFUSED),
    "clap_projection": lambda: (ClapAudioModelWithProjection(ClapAudioConfig(**SWIN)), UNFUSED),
    "whisper": lambda: (
        WhisperForConditionalGeneration(WhisperConfig(**WHISPER)),
        WhisperFeatureExtractor(feature_size=8, chunk_length=1),
    ),
    "wav2vec2": lambda: (Wav2Vec2ForCTC(Wav2Vec2Config(**WAVES)), Wav2Vec2FeatureExtractor()),
    "wavlm": lambda: (WavLMModel(WavLMConfig(**WAVES)), Wav2Vec2FeatureExtractor(return_attention_mask=True)),
    "hubert": lambda: (HubertModel(HubertConfig(**WAVES)), Wav2Vec2FeatureExtractor(do_normalize=False)),
    "wav2vec2_bert": lambda: (
        Wav2Vec2BertModel(Wav2Vec2BertConfig(**SIZES, feature_projection_input_dim=160)),
        SeamlessM4TFeatureExtractor(),
    ),
}
RATES = {kind: 48000 if kind.startswith("clap") else 16000 for kind in KINDS}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A function that gives the folder of a kind of network."""
    root = tmp_path_factory.mktemp("a 'hub'")

    def folder(kind):
        path = root / f"{kind} net"
        if not path.exists():
            torch.manual_seed(0)
            for part in KINDS[kind]():
                part.save_pretrained(path)
        return str(path)

    return folder


@pytest.fixture(autouse=True)
def short_windows(monkeypatch):
    monkeypatch.setattr(huggingface, "SECONDS", 1)


def noise(samples, seed=0):
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("output", ["frames", "pooled"])
@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_clips_of_any_length_by_themselves_and_together(kind, output, folders):
    network = HuggingFaceAudio(RATES[kind], folders(kind), output=output).eval()
    lengths = [1, FIELD - 1, FIELD + HOP, 700, 16080, 33000]
    clips = [noise(length, length) for length in lengths]
    together = network.extract(clips)
    for clip, found in zip(clips, together):
        assert found.shape == (network.frames(len(clip)), network.dim) and found.dtype == torch.float32
        assert found.isfinite().all()
        torch.testing.assert_close(network(clip[None])[0], found, atol=1e-5, rtol=1e-4)
    assert (network.hop_seconds == 0) == (output == "pooled")


@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm", "hubert"])
@torch.inference_mode()
def test_convolutions_give_as_many_frames_as_the_whole_clip(kind, folders):
    network = HuggingFaceAudio(RATES[kind], folders(kind))
    model = transformers.AutoModel.from_pretrained(folders(kind)).eval()
    features = transformers.AutoFeatureExtractor.from_pretrained(folders(kind))
    assert network.hop_seconds == HOP / 16000
    for samples in (FIELD, FIELD + HOP - 1, FIELD + HOP, 5000, 16000, 16000 + FIELD - HOP, 16000 + FIELD, 33333):
        clip = noise(samples)
        expected = model(**features(clip.numpy(), sampling_rate=16000, return_tensors="pt")).last_hidden_state
        (found,) = network.extract([clip])
        assert found.shape == expected[0].shape
        if samples <= 16000 + FIELD - HOP:  # one window
            torch.testing.assert_close(found, expected[0], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_ast_is_that_of_transformers(folders):
    """A window of 0.64 s: 64 frames of 32 bands, in 2 x 5 patches, after two tokens."""
    model = transformers.AutoModel.from_pretrained(folders("ast")).eval()
    features = transformers.AutoFeatureExtractor.from_pretrained(folders("ast"))
    clip = noise(10240)
    made = model(**features(clip.numpy(), sampling_rate=16000, return_tensors="pt"), output_hidden_states=True)
    for layer, states in ((-1, made.last_hidden_state), (0, made.hidden_states[0]), (1, made.hidden_states[1])):
        network = HuggingFaceAudio(16000, folders("ast"), layer=layer)
        torch.testing.assert_close(network(clip[None])[0], (states[0, 2:7] + states[0, 7:]) / 2)
        pooled = HuggingFaceAudio(16000, folders("ast"), layer=layer, output="pooled")(clip[None])[0]
        torch.testing.assert_close(pooled[0], made.pooler_output[0] if layer == -1 else states[0, 2:].mean(0))
    assert network.frames(10240) == 5 and network.frames(10241) == 6 and network.frames(2 * 10240) == 10


@pytest.mark.parametrize("kind", ["clap", "clap_fused"])
@torch.inference_mode()
def test_clap_is_that_of_transformers(kind, folders):
    model = ClapModel.from_pretrained(folders(kind)).eval()
    features = transformers.AutoFeatureExtractor.from_pretrained(folders(kind))
    clip = noise(30000)
    inputs = features(clip.numpy(), sampling_rate=48000, return_tensors="pt")
    inputs["is_longer"] = torch.tensor([[False]])  # what is drawn by chance in a batch without long clips
    made = model.get_audio_features(**inputs)
    pooled = HuggingFaceAudio(48000, folders(kind), output="pooled")
    torch.testing.assert_close(pooled(clip[None])[0], made.pooler_output)
    network = HuggingFaceAudio(48000, folders(kind))
    expected = made.last_hidden_state[0].mean(1).T  # 16 of them
    torch.testing.assert_close(network(clip[None])[0], expected[:10])
    assert network.frames(48000) == 16 and network.hop_seconds == 1 / 16
    assert not hasattr(network.network, "text_model")
    with pytest.raises(EspretError, match="layers of CLAP differ in size"):
        HuggingFaceAudio(48000, folders(kind), layer=0)


@torch.inference_mode()
def test_whisper_is_that_of_transformers(folders):
    model = transformers.WhisperModel.from_pretrained(folders("whisper")).eval().get_encoder()
    features = transformers.AutoFeatureExtractor.from_pretrained(folders("whisper"))
    clip = noise(24000)
    network = HuggingFaceAudio(16000, folders("whisper"))
    first, last = (
        model(features(part.numpy(), sampling_rate=16000, return_tensors="pt").input_features).last_hidden_state[0]
        for part in clip.split(16000)
    )
    expected = torch.cat([first, last[:25]])
    torch.testing.assert_close(network(clip[None])[0], expected)
    pooled = HuggingFaceAudio(16000, folders("whisper"), output="pooled")
    torch.testing.assert_close(pooled(clip[None])[0], expected.mean(0, keepdim=True))


@torch.inference_mode()
def test_own_pooling_of_windows_goes_by_their_share(folders):
    network = HuggingFaceAudio(16000, folders("ast"), output="pooled")
    clip = noise(10240 + 2560)
    first, last = (network(part[None])[0] for part in clip.split(10240))
    torch.testing.assert_close(network(clip[None])[0], 0.8 * first + 0.2 * last)


def test_a_bounded_number_of_windows_at_a_time(folders, monkeypatch):
    network = HuggingFaceAudio(16000, folders("whisper"))
    sizes = []
    network.network.register_forward_pre_hook(
        lambda module, args, options: sizes.append(len(options["input_features"])), with_kwargs=True
    )
    with torch.inference_mode():
        network.extract([noise(16000 * 5), noise(16000 * 4)])
    assert sizes == [4, 4, 1]


def test_what_it_hears_is_said(folders):
    network = HuggingFaceAudio(16000, folders("wav2vec2"))
    assert network.sample_rate == 16000
    assert network.provenance["checkpoint"] == "model.safetensors" and len(network.provenance["sha256"]) == 64
    with pytest.raises(EspretError, match="sample_rate is 44100; expected 16000"):
        HuggingFaceAudio(44100, folders("wav2vec2"))
    for layer in (9, -9):
        with pytest.raises(EspretError, match=f"no frames of layer {layer}.*a layer that it has"):
            HuggingFaceAudio(16000, folders("wav2vec2"), layer=layer)


def test_reading_leaves_random_numbers_alone(folders):
    state = torch.get_rng_state()
    HuggingFaceAudio(16000, folders("wav2vec2"))
    assert torch.equal(state, torch.get_rng_state())


def copied(folder, to):
    to.mkdir()
    for file in Path(folder).iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_older_weights_are_read(folders, tmp_path):
    folder = copied(folders("hubert"), tmp_path / "; a 'copy'")
    weights = HubertModel.from_pretrained(folder).state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    network = HuggingFaceAudio(16000, str(folder))
    assert network.provenance["checkpoint"] == "pytorch_model.bin"
    clip = noise(1000)[None]
    with torch.inference_mode():
        torch.testing.assert_close(network(clip), HuggingFaceAudio(16000, folders("hubert"))(clip))


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_no_code_is_run(folders, tmp_path):
    folder = copied(folders("hubert"), tmp_path / "bomb")
    (folder / "model.safetensors").unlink()
    with (folder / "pytorch_model.bin").open("wb") as stream:
        pickle.dump(Bomb(tmp_path / "went off"), stream)
    with pytest.raises(EspretError, match="no audio encoder that transformers reads"):
        HuggingFaceAudio(16000, str(folder))
    own = tmp_path / "own code"
    own.mkdir()
    own_code = f"import os\nos.mkdir({str(tmp_path / 'went off')!r})\n"
    (own / "code.py").write_text(own_code)
    (own / "config.json").write_text(
        '{"model_type": "mine", "auto_map": {"AutoConfig": "code.C", "AutoModel": "code.M"}}'
    )
    (own / "preprocessor_config.json").write_bytes(Path(folders("hubert"), "preprocessor_config.json").read_bytes())
    (own / "model.safetensors").write_bytes(Path(folders("hubert"), "model.safetensors").read_bytes())
    with pytest.raises(EspretError, match="own code.*no code of its own"):
        HuggingFaceAudio(16000, str(own))
    assert not (tmp_path / "went off").exists()


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "page"])
def test_files_that_are_wrong(file, damage, folders, tmp_path):
    folder = copied(folders("hubert"), tmp_path / "wrong")
    path = folder / file
    whole = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(b"<!doctype html><html>" if damage == "page" else whole[: len(whole) // 2])
    with pytest.raises(EspretError, match="wrong: no "):
        HuggingFaceAudio(16000, str(folder))


def test_what_is_no_audio_network(folders, tmp_path):
    transformers.ViTModel(transformers.ViTConfig(**SIZES)).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"feature_extractor_type": "ViTFeatureExtractor"}')
    with pytest.raises(EspretError, match="audio encoder"):
        HuggingFaceAudio(16000, str(tmp_path))


def test_missing_tensors_are_named(folders, tmp_path):
    folder = copied(folders("hubert"), tmp_path / "less")
    weights = HubertModel.from_pretrained(folder).state_dict()
    del weights["encoder.layers.1.layer_norm.weight"]
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(EspretError, match=r"lack 1 tensors.*encoder\.layers\.1\.layer_norm\.weight"):
        HuggingFaceAudio(16000, str(folder))
