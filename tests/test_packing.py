"""Packed systems: the same output as stage 4 from the audio itself, the same bytes each time, and hostile archives."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import random
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml

from espret.bin import main
from espret.data.datadir import DataDir
from espret.errors import EspretError
from espret.files import read_jsonl, write_json
from espret.packing import PackedCaptioner, PackedRetriever, load, pack
from espret.packing.archive import unpack, write_archive

TONES = {"hum": 200, "beep": 1000, "hiss": 3000}
FRONTEND = {"type": "logmel", "n_mels": 12, "window": 512, "hop": 256}
TASKS = ("captioning", "retrieval")
AUDIO = {"type": "conv", "channels": [4, 8]}
MODELS = {
    "retrieval": {
        "type": "dual_encoder",
        "audio": AUDIO,
        "pooling": {"type": "meanmax"},
        "text": {"type": "words", "dim": 8},
        "loss": {"type": "nt_xent"},
        "embedding": 8,
    },
    "captioning": {
        "type": "captioner",
        "audio": AUDIO,
        "adapter": {"type": "mlp", "dim": 8, "hidden": 8},
        "decoder": {"type": "transformer", "dim": 8, "heads": 2, "layers": 1, "feedforward": 16},
    },
}
# Stage 4 decodes with the recipe's file, which may have changed since the training: the archive must hold this one.
DECODE = {"captioning": {"beam": 3, "nbest": 2, "max_length": 7, "batch_size": 4}, "retrieval": {"batch_size": 4}}


def make_clips(root: Path, split: str, clips: int) -> None:
    """Tones of three kinds in files of several formats and lengths, two captions each."""
    rng = np.random.default_rng([clips, 7])
    kinds = [("wav", 16000, 1), ("flac", 44100, 2), ("ogg", 22050, 1), ("mp3", 48000, 2)]
    data = DataDir(wav_scp={})
    (root / "my 'sounds' é").mkdir(exist_ok=True)
    for number in range(clips):
        (suffix, rate, channels), word = kinds[number % 4], list(TONES)[number % 3]
        utt, path = f"{split}-{number:02d}", root / f"my 'sounds' é/{split} {number}.{suffix}"
        time = np.arange(int(rate * rng.uniform(0.3, 0.8))) / rate
        samples = 0.3 * np.sin(2 * np.pi * TONES[word] * time) + rng.normal(size=len(time)) * 0.01
        soundfile.write(path, np.stack([samples] * channels, 1), rate)
        data.wav_scp[utt] = str(path)
        data.utt2cap[utt] = [f"{utt}-{k}" for k in (1, 2)]
        for cap, words in zip(data.utt2cap[utt], (f"A {word}, far away.", f"the {word} goes on")):
            data.text[cap], data.cap2utt[cap] = words, utt
    data.write(root / "data" / split)


def run_stages(root: Path, task: str, system: dict[str, Any]) -> None:
    """Stages 3 and 4 of a system, seed 2, and a score record as stage 5 leaves it."""
    config, exp = root / f"{task}.yaml", root / f"exp/{task}_tiny/seed2"
    config.write_text(yaml.safe_dump(system))
    common = ["--config", str(config), "--text", str(root / "text/word")]
    words = ["train", "--task", task, "--seed", "2", "--out", str(exp), *common]
    for split in ("train", "valid"):
        words += [f"--{split}-data", str(root / "data" / split), f"--{split}-feats", str(root / "feats" / split)]
    assert main(words) == 0
    config.write_text(yaml.safe_dump({**system, "decode": DECODE[task]}))
    out, verb = exp / "decode_valid", "caption" if task == "captioning" else "embed"
    data = ["--data", str(root / "data/valid"), "--feats", str(root / "feats/valid")]
    assert main([verb, *common, *data, "--exp", str(exp), "--out", str(out)]) == 0
    if task == "captioning":
        assert main(["merge-captions", str(out)]) == 0
    record = {"task": task, "split": "valid", "n_clips": 8, "n_captions": 16, "metrics": {"SPIDEr": 0.25}}
    (exp / "score_valid").mkdir()
    write_json(exp / "score_valid/scores.json", record)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which stages 0 to 5 of both tasks were run."""
    root = tmp_path_factory.mktemp('a "recipe" ü')
    base = {
        "features": {"name": "mel", "frontend": FRONTEND},
        "text": {"name": "word", "tokenizer": {"type": "word"}},
        "train": {"epochs": 3, "batch_size": 6, "optimizer": {"type": "adam", "lr": 0.02}, "threads": 1},
    }
    config = root / "base.yaml"
    config.write_text(yaml.safe_dump({**base, "model": MODELS["retrieval"]}))
    for split, clips in (("train", 24), ("valid", 8)):
        make_clips(root, split, clips)
        out = root / "feats" / split
        assert main(["dump", "--config", str(config), "--data", str(root / "data" / split), "--out", str(out)]) == 0
        assert main(["merge-dump", str(out)]) == 0
    text = root / "text/word"
    assert main(["text", "--config", str(config), "--data", str(root / "data/train"), "--out", str(text)]) == 0
    for task in TASKS:
        run_stages(root, task, {**base, "model": MODELS[task]})
    return root


def pack_again(recipe: Path, task: str, out: Path) -> Path:
    exp = recipe / f"exp/{task}_tiny/seed2"
    return pack(exp, recipe / "text/word", "foo", out, [exp / "score_valid"], recipe / f"{task}.yaml")


@pytest.fixture(scope="module")
def packs(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An archive of each task, made by the verb, in a folder far from the recipe."""
    out = tmp_path_factory.mktemp("pack's")
    for task in TASKS:
        exp = recipe / f"exp/{task}_tiny/seed2"
        words = ["pack", "--exp", str(exp), "--text", str(recipe / "text/word"), "--corpus", "foo", "--out", str(out)]
        assert main([*words, "--config", str(recipe / f"{task}.yaml"), str(exp / "score_valid")]) == 0
    return {task: out / f"foo_{task}_tiny_seed2.zip" for task in TASKS}


def clips_of(recipe: Path) -> list[str]:
    return list(DataDir.load(recipe / "data/valid").wav_scp.values())


def test_captions_are_those_of_stage_4(recipe: Path, packs: dict[str, Path]) -> None:
    packed = load(packs["captioning"])
    assert isinstance(packed, PackedCaptioner)
    rows, expected = (
        packed.caption(clips_of(recipe)),
        read_jsonl(recipe / "exp/captioning_tiny/seed2/decode_valid/hyp.jsonl"),
    )
    assert [row["path"] for row in rows] == clips_of(recipe)
    assert [row["caption"] for row in rows] == [row["caption"] for row in expected]
    for row, other in zip(rows, expected):
        assert [one["caption"] for one in row["nbest"]] == [one["caption"] for one in other["nbest"]]
        assert row["score"] == pytest.approx(other["score"], abs=1e-5)
    assert all(len(row["nbest"]) == DECODE["captioning"]["nbest"] for row in rows)
    assert packed.caption([Path(clips_of(recipe)[5])])[0]["caption"] == expected[5]["caption"]  # alone, unpadded


def test_embeddings_and_ranks_are_those_of_stage_4(recipe: Path, packs: dict[str, Path]) -> None:
    packed, paths = load(packs["retrieval"]), clips_of(recipe)
    assert isinstance(packed, PackedRetriever)
    decode = recipe / "exp/retrieval_tiny/seed2/decode_valid"
    captions = list(DataDir.load(recipe / "data/valid").text.values())
    np.testing.assert_allclose(packed.embed_audio(paths), np.load(decode / "audio.npy"), atol=1e-5)
    np.testing.assert_allclose(packed.embed_text(captions), np.load(decode / "text.npy"), atol=1e-5)
    sim = np.load(decode / "sim.npy")
    for number, ranked in enumerate(packed.rank_all(captions, paths)):
        assert {one.path for one in ranked} == set(paths)
        assert [one.similarity for one in ranked] == pytest.approx(sorted(sim[number], reverse=True), abs=1e-5)
        assert all(abs(sim[number, paths.index(one.path)] - one.similarity) < 1e-5 for one in ranked)
    alone = packed.rank(captions[3], paths)
    assert [one.similarity for one in alone] == pytest.approx(sorted(sim[3], reverse=True), abs=1e-5)


def test_the_archive_is_the_same_each_time_and_says_what_it_is(
    recipe: Path, packs: dict[str, Path], tmp_path: Path
) -> None:
    for task in TASKS:
        again = pack_again(recipe, task, tmp_path / "again")
        assert again.name == packs[task].name and again.read_bytes() == packs[task].read_bytes()
    with zipfile.ZipFile(again) as archive:
        names = [
            "best.pt",
            "config.yaml",
            "meta.json",
            "score_valid/scores.json",
            "text/tokenizer.json",
            "text/words.txt",
        ]
        assert archive.namelist() == names
        meta = json.loads(archive.read("meta.json"))
        content = {name: archive.read(name) for name in names if name != "meta.json"}
    assert meta["sha256"] == {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    assert (meta["task"], meta["system"], meta["corpus"], meta["seed"]) == ("retrieval", "tiny", "foo", 2)
    assert meta["torch"] == torch.__version__ and meta["date"].endswith("+00:00")
    assert (
        content["score_valid/scores.json"] == (recipe / "exp/retrieval_tiny/seed2/score_valid/scores.json").read_bytes()
    )
    assert list(torch.load(io.BytesIO(content["best.pt"]), weights_only=True)) == ["model"]


def test_loading_leaves_nothing_behind(packs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    threads = torch.get_num_threads()
    assert load(packs["captioning"]).meta["task"] == "captioning"
    assert not list(tmp_path.iterdir()) and torch.get_num_threads() == threads


def test_sub_word_pieces_are_packed(recipe: Path, tmp_path: Path) -> None:
    system = yaml.safe_load((recipe / "captioning.yaml").read_text())
    system["text"] = {"name": "bpe", "tokenizer": {"type": "bpe", "vocabulary": 40}}
    root = tmp_path / "r"
    for name in ("data", "feats"):
        shutil.copytree(recipe / name, root / name)
    config = root / "c.yaml"
    config.write_text(yaml.safe_dump(system))
    # run_stages takes the tokenizer of text/word
    assert (
        main(["text", "--config", str(config), "--data", str(root / "data/train"), "--out", str(root / "text/word")])
        == 0
    )
    run_stages(root, "captioning", system)
    packed = load(pack_again(root, "captioning", tmp_path))
    assert isinstance(packed, PackedCaptioner)
    expected = read_jsonl(root / "exp/captioning_tiny/seed2/decode_valid/hyp.jsonl")
    assert [row["caption"] for row in packed.caption(clips_of(root))] == [row["caption"] for row in expected]


def test_apply_prints_captions(recipe: Path, packs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    paths, pack_path = clips_of(recipe), str(packs["captioning"])
    hyps = [row["caption"] for row in read_jsonl(recipe / "exp/captioning_tiny/seed2/decode_valid/hyp.jsonl")]
    capsys.readouterr()
    assert main(["apply", pack_path, *paths]) == 0
    assert capsys.readouterr().out == "".join(f"{path}\t{caption}\n" for path, caption in zip(paths, hyps))
    assert main(["apply", pack_path, "--json", *paths[:2]]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["path"], row["caption"]) for row in rows] == list(zip(paths, hyps))[:2]
    assert main(["apply", pack_path, paths[0], "--query", "a hum"]) == 2
    assert "takes no --query" in capsys.readouterr().err


def test_apply_prints_ranks(recipe: Path, packs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    paths, pack_path = clips_of(recipe), str(packs["retrieval"])
    capsys.readouterr()
    assert main(["apply", pack_path, "--query", "a hum", *paths, "--query", "the beep"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows] == [[q, str(rank)] for q in ("a hum", "the beep") for rank in range(1, 9)]
    assert main(["apply", pack_path, *paths, "--query=a hum", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["query"] == "a hum" and [one["path"] for one in row["clips"]] == [found[3] for found in rows[:8]]
    assert main(["apply", pack_path, *paths]) == 2
    assert "needs --query" in capsys.readouterr().err
    assert main(["apply", pack_path, *paths, "--query", " ?! "]) == 1
    assert "no words" in capsys.readouterr().err


def test_what_is_not_audio_is_named(packs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x y.wav").write_text("no")
    assert main(["apply", str(packs["captioning"]), str(tmp_path / "x y.wav")]) == 1
    assert "x y.wav: not audio" in capsys.readouterr().err
    soundfile.write(tmp_path / "nan.wav", np.full(9000, np.nan, dtype=np.float32), 16000, subtype="FLOAT")
    with pytest.raises(EspretError, match="nan.wav: features are not finite"):
        load(packs["retrieval"]).embed_audio([tmp_path / "nan.wav"])  # type: ignore[union-attr]


def test_a_path_that_is_not_utf8(recipe: Path, packs: dict[str, Path], tmp_path: Path, capfdbinary: Any) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.wav"
    shutil.copyfile(clips_of(recipe)[0], path)
    capfdbinary.readouterr()
    assert main(["apply", str(packs["captioning"]), os.fsdecode(path)]) == 0
    assert capfdbinary.readouterr().out.startswith(path + b"\t")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"exp": "exp/captioning_tiny"}, "not an experiment"),
        ({"corpus": "a/b"}, "--corpus 'a/b'"),
        ({"text": "data"}, "no tokenizer here"),
        ({"scores": ["exp/retrieval_tiny/seed2/score_valid"]}, "not the scores of captioning tiny seed 2"),
    ],
)
def test_what_cannot_be_packed(recipe: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    given = {"exp": "exp/captioning_tiny/seed2", "text": "text/word", "corpus": "foo", "scores": [], **change}
    with pytest.raises(EspretError, match=message):
        pack(
            recipe / given["exp"],
            recipe / given["text"],
            given["corpus"],
            tmp_path,
            [recipe / s for s in given["scores"]],
        )
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------- hostile archives


def taken_apart(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Members and what meta.json says of the system."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    meta = json.loads(members.pop("meta.json"))
    return members, {key: value for key, value in meta.items() if key not in ("format", "sha256")}


def forged(path: Path, out: Path, change: dict[str, bytes], **about: Any) -> Path:
    """The archive `path` with other members or facts, and hashes that fit."""
    members, facts = taken_apart(path)
    write_archive(out / "forged.zip", {**members, **change}, {**facts, **about})
    return out / "forged.zip"


def rezipped(
    path: Path, out: Path, more: list[tuple[str, bytes]], leave: str = "", how: int = zipfile.ZIP_STORED
) -> Path:
    """The members of `path` without `leave` and with `more`, zipped by hand."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(out / "bad.zip", "w", how) as bad:
        for name in archive.namelist():
            if name != leave:
                bad.writestr(name, archive.read(name))
        for name, content in more:
            bad.writestr(name, content)
    return out / "bad.zip"


@pytest.mark.parametrize(
    "name",
    ["../evil", "/tmp/evil", "text/../../evil", "text/..", "text\\..\\evil", "text/a/b", "evil", "text/", "C:evil"],
)
def test_a_name_that_leaves_the_folder(packs: dict[str, Path], tmp_path: Path, name: str) -> None:
    bad = rezipped(packs["captioning"], tmp_path, [(name, b"evil")])
    (tmp_path / "in/side").mkdir(parents=True)
    with pytest.raises(EspretError, match=r"bad\.zip: a member called .* has no place"):
        unpack(bad, tmp_path / "in/side")
    assert not list((tmp_path / "in/side").iterdir()) and not list(tmp_path.rglob("*evil*"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_that_are_not_as_declared(packs: dict[str, Path], tmp_path: Path) -> None:
    good = packs["captioning"]
    with pytest.raises(EspretError, match=r"bad\.zip: text/words.txt: its SHA-256 is"):
        load(rezipped(good, tmp_path, [("text/words.txt", b"other")], leave="text/words.txt"))
    with pytest.raises(EspretError, match=r"bad\.zip: config.yaml: there 2 times"):
        load(rezipped(good, tmp_path, [("config.yaml", b"")]))
    with pytest.raises(EspretError, match=r"bad\.zip: best.pt is missing"):
        load(rezipped(good, tmp_path, [], leave="best.pt"))
    with pytest.raises(EspretError, match=r"bad\.zip: meta.json: .*'text/more'"):
        load(rezipped(good, tmp_path, [("text/more", b"")]))
    with pytest.raises(EspretError, match="is compressed"):
        load(rezipped(good, tmp_path, [("text/zeros", bytes(10**6))], how=zipfile.ZIP_DEFLATED))
    with pytest.raises(EspretError, match=r"meta.json: not JSON"):
        load(rezipped(good, tmp_path, [("meta.json", b"[" * 10**5)], leave="meta.json"))
    with pytest.raises(EspretError, match="format 9, expected 1"):
        load(rezipped(good, tmp_path, [("meta.json", b'{"format": 9}')], leave="meta.json"))
    with pytest.raises(EspretError, match="expected at most"):
        load(rezipped(good, tmp_path, [("meta.json", bytes(10**7))], leave="meta.json"))
    with pytest.raises(EspretError, match=r"none\.zip: no such archive"):
        load(tmp_path / "none.zip")


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_weights_cannot_run_code(packs: dict[str, Path], tmp_path: Path) -> None:
    stream = io.BytesIO()
    torch.save({"model": Evil(tmp_path / "ran")}, stream)
    for content in (stream.getvalue(), pickle.dumps(Evil(tmp_path / "ran"))):
        with pytest.raises(EspretError, match=r"forged\.zip: best.pt"):
            load(forged(packs["captioning"], tmp_path, {"best.pt": content}))
    assert not (tmp_path / "ran").exists()


def saved(value: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def test_weights_that_do_not_fit(packs: dict[str, Path], tmp_path: Path) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(10**7))
    contents = [
        b"",
        b"x" * 100,
        saved([1]),
        saved({}),
        saved({"model": 3}),
        saved({"model": {"a": 3}}),
        bomb.getvalue(),
    ]
    for content in contents:
        with pytest.raises(EspretError, match=r"forged\.zip: best.pt"):
            load(forged(packs["captioning"], tmp_path, {"best.pt": content}))


def test_configurations_that_do_not_fit(packs: dict[str, Path], tmp_path: Path) -> None:
    system = yaml.safe_load(taken_apart(packs["captioning"])[0]["config.yaml"])

    def refused(content: bytes | dict[str, Any], match: str, **about: Any) -> None:
        if isinstance(content, dict):
            content = yaml.safe_dump(content).encode()
        with pytest.raises(EspretError, match=rf"forged\.zip: config.yaml.*{match}"):
            load(forged(packs["captioning"], tmp_path, {"config.yaml": content}, **about))

    refused(b"!!python/object/apply:os.mkdir [evil]", "not YAML")
    refused(b"\xff\xfe\x00", "")
    refused({**system, "decode": {"beam": 0}}, "decode")
    refused({**system, "decode": {"class_path": "os.mkdir", "init_args": {"path": "evil"}}}, "decode")
    refused({**system, "features": {"name": "x", "frontend": {"type": "os:mkdir"}}}, "front")
    refused({**system, "features": {"name": "x", "frontend": {"type": ["x"]}}}, "")
    refused({**system, "model": {**system["model"], "audio": {"type": "conv", "channels": "x"}}}, "channels")
    refused(system, "'captioner' is not one of retrieval", task="retrieval")


def test_tokenizers_that_do_not_fit(packs: dict[str, Path], tmp_path: Path) -> None:
    pieces = {"text/tokenizer.json": b'{"type": "bpe"}', "text/pieces.model": b"nothing"}
    for change in ({"text/words.txt": b"\xff"}, {"text/words.txt": b"a\n"}, {"text/tokenizer.json": b"[1]"}, pieces):
        with pytest.raises(EspretError, match=r"forged\.zip: text"):
            load(forged(packs["captioning"], tmp_path, change))
    more = taken_apart(packs["captioning"])[0]["text/words.txt"] + b"another\n"
    with pytest.raises(EspretError, match=r"forged\.zip: best.pt: its weights do not fit"):
        load(forged(packs["captioning"], tmp_path, {"text/words.txt": more}))


@pytest.mark.parametrize("about", [{"task": "x"}, {"seed": "1"}, {"corpus": None}, {"seed": True}])
def test_facts_of_another_form(packs: dict[str, Path], tmp_path: Path, about: dict[str, Any]) -> None:
    with pytest.raises(EspretError, match=rf"forged\.zip: meta.json: {next(iter(about))} is"):
        load(forged(packs["captioning"], tmp_path, {}, **about))


def test_damage_is_never_taken_for_whole(packs: dict[str, Path], tmp_path: Path) -> None:
    """Cut short or with other bytes anywhere: either an error that names it, or what was packed."""
    whole, chance = packs["captioning"].read_bytes(), random.Random(1)
    members = taken_apart(packs["captioning"])[0]
    bad, refused = tmp_path / "bad.zip", 0
    for attempt in range(300):
        content = bytearray(whole[: chance.randrange(len(whole))] if attempt % 3 == 0 else whole)
        first = 0 if attempt % 2 else max(0, len(content) - 1200)  # the directory at the end gets its share
        for _ in range(3 if attempt % 3 else 0):
            content[chance.randrange(first, len(content))] = chance.randrange(256)
        bad.write_bytes(content)
        folder = tmp_path / str(attempt)
        folder.mkdir()
        try:
            unpack(bad, folder)
        except EspretError as error:
            assert str(error).startswith(str(bad))
            refused += 1
        else:
            assert all((folder / name).read_bytes() == data for name, data in members.items())
        shutil.rmtree(folder)
    assert refused > 200


def test_an_archive_of_the_recipe_is_read_by_name_alone(packs: dict[str, Path], tmp_path: Path) -> None:
    """Nothing of the recipe is needed, nor the working directory."""
    copy = shutil.copy(packs["retrieval"], tmp_path / "-any 'name'.zip")
    assert read_meta(copy) == load(copy).meta


def read_meta(path: str | Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("meta.json"))
