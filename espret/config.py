"""The configuration of a system: one YAML file, read into typed dataclasses; unknown keys and wrong types are errors.

Sections follow the stages: `features` (1), `text` (2), `model` and `train` (3), `decode` (4). A component with a choice
of implementations is written `{type: NAME, option: value, ...}`: NAME is looked up in that component's registry and the
options are checked against the constructor's typed signature (`build`).
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

from jsonargparse import ArgumentParser

from espret.errors import EspretError, nearest
from espret.registry import Registry
from espret.yaml_file import load_yaml

Component = dict[str, Any]  # {"type": NAME, **options}


@dataclass
class Features:
    """Stage 1: what is dumped, to `dump/<name>/<split>`."""

    name: str
    frontend: Component
    sample_rate: int = 16000
    dtype: Literal["float32", "float16", "flac"] = "float32"  # of what is stored; flac: of waveforms, 16 bits
    precision: Literal["float32", "bfloat16", "float16"] = "float32"  # of frozen networks; front ends use float32


@dataclass
class Text:
    """Stage 2: how captions become tokens, in `dump/text/<name>`."""

    name: str
    tokenizer: Component


@dataclass
class Train:
    """Stage 3: the run's length, optimiser and selection."""

    epochs: int = 20
    batch_size: int = 32  # examples a step, of all processes together
    accumulate: int = 1  # parts in which a batch is computed, with the gradients of the whole; more need less memory
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = "float32"  # the last two: automatic mixed precision
    optimizer: Component = field(default_factory=lambda: {"type": "adam", "lr": 1e-3})
    schedule: Component = field(default_factory=lambda: {"type": "constant"})
    grad_clip: float = 0.0  # maximum gradient norm; 0: no clipping
    ema: float = 0.0  # decay of the moving average of weights that is validated and kept; 0: the weights themselves
    patience: int = 0  # epochs without improvement before stopping; 0: never
    select: str = "loss"  # validation metric that chooses the checkpoint
    keep_best: int = 1  # epochs whose weights are kept, the best by `select`
    average: int = 1  # epochs whose mean weights are decoded with, the best by `select`
    # "one": a random caption of each clip an epoch; "group": each clip once with all its captions, so that its audio is
    # encoded once; "all": every pair is an example.
    captions_per_clip: str = "one"
    augment: list[Component] = field(default_factory=list)
    threads: int = 0  # CPU threads; 0: torch's choice
    save_minutes: float = 10.0  # a checkpoint within an epoch after as many; one is written after each epoch anyway

    def __post_init__(self) -> None:
        at_least = {
            "epochs": 0,
            "batch_size": 1,
            "accumulate": 1,
            "grad_clip": 0,
            "patience": 0,
            "keep_best": 1,
            "average": 1,
            "threads": 0,
            "save_minutes": 0,
        }
        for name, least in at_least.items():
            if getattr(self, name) < least:
                raise EspretError(f"train.{name} is {getattr(self, name)}; expected at least {least}")
        if not 0 <= self.ema < 1:
            raise EspretError(f"train.ema is {self.ema}; expected a decay from 0 to below 1, such as 0.999")


@dataclass
class System:
    """A whole system file, `conf/<task>/<system>.yaml`."""

    features: Features
    text: Text
    model: Component
    train: Train = field(default_factory=Train)
    decode: Component = field(default_factory=dict)


def load_system(path: str | Path) -> System:
    """Read and check a system file. Raises EspretError naming the file and the key."""
    raw = load_yaml(path)
    return check(System, raw, str(path))


def check(kind: Any, values: dict[str, Any], where: str) -> Any:
    """`values` as an instance of class `kind`; keys and types are checked against its signature."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "x")
    _refuse_unknown(kind, values, where)
    try:
        return parser.instantiate(parser.parse_object({"x": values})).x
    except Exception as error:  # jsonargparse raises several kinds; the text says which key
        raise EspretError(f"{where}: {_first_lines(error)}") from None


def _refuse_unknown(kind: Any, values: dict[str, Any], where: str, prefix: str = "") -> None:
    """An error for the first key that dataclass `kind`, or a dataclass inside it, does not have."""
    hints = get_type_hints(kind)
    for key, value in values.items():
        if key not in hints:
            raise EspretError(f"{where}: unknown key '{prefix}{key}'{nearest(key, hints)}")
        if is_dataclass(hints[key]) and isinstance(value, dict):
            _refuse_unknown(hints[key], value, where, f"{prefix}{key}.")


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3]).replace('"x.', '"').replace("x.", "")


def build(registry: Registry, component: Component, where: str = "", **runtime: Any) -> Any:
    """Make the component `{type: NAME, **options}` from its registry.

    `runtime` holds constructor arguments that the program supplies (dimensions, vocabulary sizes); they are no options.
    Raises EspretError naming `where`, the key, and what was expected.
    """
    where = where or registry.kind
    if "type" not in component:
        raise EspretError(f"{where}: needs a 'type'{nearest('', registry)}")
    options = {key: value for key, value in component.items() if key != "type"}
    target = registry.load(component["type"])
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(target, "x", skip=set(runtime))
    known = [name for name in inspect.signature(target).parameters if name not in runtime]
    for key in options:
        if key not in known:
            raise EspretError(f"{where} ({component['type']}): unknown option '{key}'{nearest(key, known)}")
    try:
        parsed = parser.parse_object({"x": options} if options else {})
    except Exception as error:
        raise EspretError(f"{where} ({component['type']}): {_first_lines(error)}") from None
    values = vars(parsed).get("x")
    try:
        return target(**(values.as_dict() if values else {}), **runtime)
    except ValueError as error:  # torch's, for a number out of bounds
        raise EspretError(f"{where} ({component['type']}): {error}") from error
