"""Fingerprints: what a step's outputs depend on, in a form that can be compared and explained.

A fingerprint is {"command": [...], "conf": {key: value}, "inputs": {path: digest}}. Options that say only how work is
spread (shards, GPUs, workers) are left out: other values give the same outputs.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

from espret.errors import EspretError
from espret.files import sha256_file
from espret.recipe.plan import Step
from espret.scoring.fense import install as fense
from espret.scoring.spice import install as spice

# Options of the verbs that do not change what comes out; `--config` is covered by the step's `conf` sections.
RUN_ONLY = {
    "--shard",
    "--ngpu",
    "--num-nodes",
    "--num-workers",
    "--batch-seconds",
    "--readers",
    "--config",
    "--youtube-jobs",
    "--cookies",
    "--allow-missing",  # decides whether stage 0 ends well, not what it leaves
}
# Verbs that make nothing of their own: what the next one would make itself, or what it reads by the same options.
AHEAD = {"parse-captions", "fetch-corpus"}


def command_words(command: list[str]) -> list[str]:
    """The part of a command that decides its outputs: from the verb on, without runner, log and RUN_ONLY options."""
    words = command[command.index("espret") :] if "espret" in command else list(command)
    if len(words) > 1 and (words[1] in AHEAD or (words[1] == "leaks" and "--out" not in words)):  # or only a check
        return []
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in RUN_ONLY:
            skip = True
        else:
            kept.append(word)
    return kept


def fingerprint(step: Step, inputs: dict[str, str | None]) -> dict[str, Any]:
    """The fingerprint of a step, given the digests of its inputs."""
    conf: dict[str, Any] = {}
    for entry in step.conf:
        _merge(conf, section(entry), entry, step)
    if any("score-captions" in command for command in step.commands):
        # What is installed later makes more metrics available: a score without them is then out of date.
        conf["SPICE parser"] = "installed" if spice.installed() else "missing"
        if fense.installed():
            conf["FENSE networks"] = "installed"
    commands = [word for command in step.commands for word in command_words(command)]
    return {"command": commands, "conf": conf, "inputs": inputs}


def _merge(conf: dict[str, Any], more: dict[str, Any], entry: str, step: Step) -> None:
    """Add a section; systems that share an output must agree on what makes it."""
    sections = {key.split(".")[0] for key in more}
    old = {key: value for key, value in conf.items() if key.split(".")[0] in sections}
    if old and old != more:
        key = sorted(key for key in old.keys() | more.keys() if old.get(key) != more.get(key))[0]
        raise EspretError(
            f"{entry}: {key} is {more.get(key)!r} here and {old.get(key)!r} in {step.conf[0]}, but both systems "
            f"make {step.outputs[0]}; give one of them another name ({key.split('.')[0]}.name)"
        )
    conf.update(more)


def section(entry: str) -> dict[str, Any]:
    """The flattened section of `FILE:SECTION`: {"text.tokenizer.min_count": 1, ...}. A missing section is empty."""
    path, _, name = entry.rpartition(":")
    return dict(_flatten(name, _load(path, _changed(path)).get(name, {})))


@functools.lru_cache
def _load(path: str, _changed: int) -> dict[str, Any]:
    from espret.yaml_file import load_yaml  # only recipes with systems pay for the reader

    return load_yaml(path)


def _changed(path: str) -> int:
    return Path(path).stat().st_mtime_ns if Path(path).is_file() else 0


def _flatten(prefix: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [item for key, inner in value.items() for item in _flatten(f"{prefix}.{key}", inner)]
    return [(prefix, value)]


SMALL = 10_000_000  # bytes; a larger file of an input folder is known by size and time, not by content


def external_digest(path: str) -> str | None:
    """Digest of an input that no step makes: a file, or the names and contents in a folder; None if absent."""
    target = Path(path)
    if target.is_file():
        status = target.stat()
        return _file_digest(path, status.st_size, status.st_mtime_ns)
    if not target.is_dir():
        return None
    rows = []
    for file in sorted(target.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts and ".espret" not in file.parts:
            status = file.stat()
            known_by = sha256_file(file) if status.st_size <= SMALL else f"{status.st_size} {status.st_mtime_ns}"
            rows.append(f"{file.relative_to(target)}\t{known_by}")
    return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogateescape")).hexdigest()


@functools.lru_cache
def _file_digest(path: str, _size: int, _changed: int) -> str:
    return sha256_file(path)


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Why an output made with fingerprint `old` is stale under `new`: one reason a line, e.g. `conf text.x 1 -> 2`."""
    reasons = []
    before, now = old.get("conf", {}), new["conf"]
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            reasons.append(f"conf {key} {_show(before, key)} -> {_show(now, key)}")
    if old.get("command") != new["command"]:
        reasons += _command_differences(old.get("command", []), new["command"])
    before, now = old.get("inputs", {}), new["inputs"]
    for path in sorted(before.keys() | now.keys()):
        if path not in now or path not in before:
            reasons.append(f"input {path} {'added' if path in now else 'removed'}")
        elif now[path] is not None and before[path] != now[path]:  # an input that was cleaned away proves nothing
            reasons.append(f"input {path} changed")
    return reasons


def _show(values: dict[str, Any], key: str) -> str:
    return str(values[key]) if key in values else "(default)"


def _command_differences(old: list[str], new: list[str]) -> list[str]:
    options_old, options_new = _options(old), _options(new)
    reasons = [
        f"option {key} {options_old.get(key, '(none)')} -> {options_new.get(key, '(none)')}"
        for key in sorted(options_old.keys() | options_new.keys())
        if options_old.get(key) != options_new.get(key)
    ]
    return reasons or ["command changed"]


def _options(words: list[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    key = "words"
    for word in words:
        if word.startswith("{"):  # where it writes to
            continue
        if word == "espret":  # the next command
            key = "words"
        if word.startswith("--"):
            key = word
            options.setdefault(key, "")
        else:
            options[key] = f"{options.get(key, '')} {word}".strip()
    return options
