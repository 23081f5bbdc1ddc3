"""Optimisers and schedules: Ranger against the programs it comes from, schedules against torch's and the papers'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_corpus import system, train_arguments
from torch import Tensor
from torch.nn import Parameter

from espret.bin import main
from espret.config import build
from espret.errors import EspretError
from espret.files import read_jsonl
from espret.training import OPTIMIZERS, SCHEDULES, checkpoint, loop
from espret.training.optim import AdamW, Cosine, InverseSqrt, Step
from espret.training.ranger import Ranger
from espret.training.run import save_progress

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    with np.load(Path(__file__).parents[1] / "goldens/training/optim.npz") as archive:
        return dict(archive)


@pytest.mark.parametrize("case", ["const", "steplr"])
def test_ranger_takes_the_steps_of_audio_retrieval(case: str, golden: dict[str, Any]) -> None:
    """Twelve steps are two Lookaheads and both branches of RAdam."""
    x, y, w, b = (torch.from_numpy(golden[f"linear.{name}"]).double() for name in ("X", "Y", "w0", "b0"))
    w, b = Parameter(w), Parameter(b)
    optimizer = Ranger([w, b], lr=0.01, weight_decay=1e-3)
    schedule, steps = Step(every=1, gamma=0.95 if case == "steplr" else 1.0), 3
    for step in range(12):
        optimizer.param_groups[0]["lr"] = 0.01 * schedule.factor((step + 1) / steps, 4)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(golden[f"linear.{case}.lr"][step], rel=1e-12)
        optimizer.zero_grad()
        ((x @ w + b - y) ** 2).mean().backward()
        optimizer.step()
        # The reference works in float32 within a step and keeps float64 between steps.
        np.testing.assert_allclose(w.detach(), golden[f"linear.{case}.w"][step], rtol=0, atol=3e-7)
        np.testing.assert_allclose(b.detach(), golden[f"linear.{case}.b"][step], rtol=0, atol=3e-7)
    if case == "const":
        np.testing.assert_allclose(optimizer.state[w]["slow"], golden["linear.const.slow.w"], rtol=0, atol=3e-7)


def grouped(golden: dict[str, Any], device: str = "cpu") -> tuple[dict[str, Parameter], Ranger]:
    names = ("matrix", "bias", "kernel", "late")
    params = {name: Parameter(torch.tensor(golden[f"groups.{name}.start"], device=device)) for name in names}
    slower = {"params": [params["kernel"], params["late"]], "lr": 0.003, "weight_decay": 0.1}
    return params, Ranger([{"params": [params["matrix"], params["bias"]]}, slower], lr=0.01, weight_decay=1e-3)


def advance(params: dict[str, Parameter], optimizer: Ranger, golden: dict[str, Any], step: int) -> None:
    for name, param in params.items():
        gradient = torch.from_numpy(golden[f"groups.{name}.gradients"][step]).to(param.device)
        param.grad = gradient if name != "late" or golden["groups.late.present"][step] else None
    optimizer.step()


@pytest.mark.parametrize("device", DEVICES)
def test_ranger_with_groups_decay_and_missing_gradients(device: str, golden: dict[str, Any]) -> None:
    params, optimizer = grouped(golden, device)
    for step in range(40):
        advance(params, optimizer, golden, step)
        for name, param in params.items():
            expected = golden[f"groups.{name}.weights"][step]
            np.testing.assert_allclose(param.detach().cpu(), expected, rtol=2e-6, atol=2e-6, err_msg=f"{name} {step}")
    assert np.abs(golden["groups.late.weights"][3] - golden["groups.late.start"]).max() == 0  # no gradient yet


def ranger_by_hand(start: np.ndarray, gradients: np.ndarray, lr: float, decay: float) -> list[np.ndarray]:
    """The equations of RAdam and Lookahead in float64, with the defaults of Ranger."""
    beta1, beta2, eps, k, alpha = 0.95, 0.999, 1e-5, 6, 0.5
    weights, slow = start.astype(float), start.astype(float)
    mean, square, found = np.zeros_like(weights), np.zeros_like(weights), []
    longest = 2 / (1 - beta2) - 1
    for t, gradient in enumerate(gradients.astype(float), 1):
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        length = longest - 2 * t * beta2**t / (1 - beta2**t)
        weights = weights * (1 - lr * decay)
        step = mean / (1 - beta1**t)
        if length > 5:
            rectified = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            step = step * np.sqrt(rectified * (1 - beta2**t)) / (np.sqrt(square) + eps)
        weights = weights - lr * step
        if t % k == 0:
            slow = slow + alpha * (weights - slow)
            weights = slow
        found.append(weights)
    return found


def test_ranger_worked_by_hand() -> None:
    rng = np.random.default_rng(3)
    start, gradients = rng.normal(size=(3, 2)), rng.normal(size=(25, 3, 2)) * [1e-6, 10.0]
    param = Parameter(torch.from_numpy(start.copy()))
    optimizer = Ranger([param], lr=0.02, weight_decay=0.5)
    for step, expected in enumerate(ranger_by_hand(start, gradients, 0.02, 0.5)):
        param.grad = torch.from_numpy(gradients[step])
        optimizer.step()
        np.testing.assert_allclose(param.detach(), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("stop", [0, 3, 6, 8, 20])
def test_ranger_goes_on_exactly_from_its_saved_state(stop: int, golden: dict[str, Any], tmp_path: Path) -> None:
    params, optimizer = grouped(golden)
    for step in range(stop):
        advance(params, optimizer, golden, step)
    state = {"weights": {name: param.detach() for name, param in params.items()}, "optimizer": optimizer.state_dict()}
    torch.save(state, tmp_path / "a b.pt")
    saved = torch.load(tmp_path / "a b.pt", weights_only=True)
    others, other = grouped(golden)
    for name, param in others.items():
        param.data.copy_(saved["weights"][name])
    other.load_state_dict(saved["optimizer"])
    for step in range(stop, 30):
        advance(params, optimizer, golden, step)
        advance(others, other, golden, step)
        assert all(torch.equal(params[name], others[name]) for name in params), step


def test_ranger_with_alpha_1_is_radam_and_with_alpha_0_stands_still() -> None:
    def trace(optimizer: Any, param: Parameter) -> list[Tensor]:
        generator, values = torch.Generator().manual_seed(1), []
        for _ in range(14):
            param.grad = torch.randn(5, generator=generator)
            optimizer.step()
            values.append(param.detach().clone())
        return values

    ones = [Parameter(torch.ones(5)) for _ in range(3)]
    radam = trace(torch.optim.RAdam([ones[0]], 0.1, (0.95, 0.999), 1e-5), ones[0])
    for ours, expected in zip(trace(Ranger([ones[1]], 0.1, alpha=1.0), ones[1]), radam):
        torch.testing.assert_close(ours, expected)
    still = trace(Ranger([ones[2]], 0.1, k=7, alpha=0.0), ones[2])
    assert all(torch.equal(still[place], torch.ones(5)) for place in (6, 13)) and not torch.equal(still[5], still[6])


def test_ranger_takes_a_closure_and_refuses_what_is_no_lookahead() -> None:
    param = Parameter(torch.ones(2))
    optimizer = Ranger([param], lr=0.5)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (param**2).sum()
        loss.backward()
        return loss

    before = param.detach().clone()
    assert optimizer.step(closure).item() == 2.0
    assert not torch.equal(param, before)
    for options in ({"k": 0}, {"alpha": 1.5}):
        with pytest.raises(EspretError, match="expected k of 1 or more and alpha from 0 to 1"):
            build(OPTIMIZERS, {"type": "ranger", **options}, params=[param])


def test_adamw_decays_matrices_only() -> None:
    matrix, vector = Parameter(torch.ones(2, 2)), Parameter(torch.ones(2))
    optimizer = AdamW([matrix, vector], lr=0.1, weight_decay=0.5)
    for one in (matrix, vector):
        one.grad = torch.zeros_like(one)
    optimizer.step()
    torch.testing.assert_close(matrix.detach(), torch.full((2, 2), 0.95))
    assert torch.equal(vector, torch.ones(2))


def torchs(kind: Any, epochs: int, **options: Any) -> list[float]:
    """The rates of a scheduler of torch in `epochs` epochs, and the one after them."""
    optimizer = torch.optim.SGD([Parameter(torch.zeros(1))], lr=1.0)
    scheduler, rates = kind(optimizer, **options), []
    for _ in range(epochs + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(("every", "gamma"), [(1, 0.95), (20, 0.1), (3, 0.5)])
def test_step_is_steplr_in_every_step_of_an_epoch(every: int, gamma: float) -> None:
    schedule = Step(every, gamma)
    for epoch, expected in enumerate(torchs(torch.optim.lr_scheduler.StepLR, 49, step_size=every, gamma=gamma)):
        for step in range(1, 8):
            assert schedule.factor(epoch + step / 7, 50) == pytest.approx(expected, rel=1e-12)


def test_cosine_is_cosine_annealing() -> None:
    expected = torchs(torch.optim.lr_scheduler.CosineAnnealingLR, 12, T_max=12, eta_min=0.1)
    assert [Cosine(final=0.1).factor(epoch, 12) for epoch in range(13)] == pytest.approx(expected, rel=1e-9)


def test_the_schedule_of_the_passt_paper_can_be_written(golden: dict[str, Any]) -> None:
    """Its program asks for the position where a step begins; this loop for where it ends, one step on."""
    schedule = Cosine(warmup=1, until=15, final=0.005)
    factors = [schedule.factor(step / 7, 16) for step in range(len(golden["passt_lr"]))]
    np.testing.assert_allclose(2e-5 * np.array(factors), golden["passt_lr"], rtol=1e-9, atol=1e-18)


def test_inverse_sqrt_rises_to_its_peak_and_falls() -> None:
    schedule = InverseSqrt(warmup=2)
    factors = [schedule.factor(epoch, 50) for epoch in (0.0, 0.5, 2.0, 8.0, 32.0)]
    assert factors == pytest.approx([0.0, 0.25, 1.0, 0.5, 0.25])


@pytest.mark.parametrize(
    ("component", "message"),
    [
        ({"type": "inverse_sqrt", "warmup": 0.0}, "warmup: expected more than 0 epochs"),
        ({"type": "step", "every": 0}, "every: expected 1 epoch or more"),
        ({"type": "nome"}, "unknown schedule 'nome'"),
    ],
)
def test_schedules_that_are_none(component: dict[str, Any], message: str) -> None:
    with pytest.raises(EspretError, match=message):
        build(SCHEDULES, component, "train.schedule")


RANGER = {
    "optimizer": {"type": "ranger", "lr": 0.05, "weight_decay": 1e-3},
    "schedule": {"type": "step", "every": 1, "gamma": 0.95},
}


@pytest.mark.parametrize("task", ["retrieval", "captioning"])
def test_training_with_ranger_learns(task: str, corpus: Path, tmp_path: Path) -> None:
    content = system(task, **RANGER, epochs=12, select="loss")
    assert main(train_arguments(corpus, tmp_path / "exp", task, content)) == 0
    history = read_jsonl(tmp_path / "exp/metrics.jsonl")
    assert history[-1]["train"]["loss"] < 0.8 * history[0]["train"]["loss"]
    assert [row["lr"] for row in history] == pytest.approx([0.05 * 0.95**epoch for epoch in range(12)])


def test_a_run_with_ranger_that_stops_after_any_step_goes_on_exactly(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = system("retrieval", **RANGER, batch_size=8, save_minutes=0.0)
    assert main(train_arguments(corpus, tmp_path / "whole", "retrieval", content)) == 0
    words = train_arguments(corpus, tmp_path / "stopped", "retrieval", content)

    def save_and_stop(run: Any) -> None:
        save_progress(run)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_progress", save_and_stop)
        stops = 0
        while main(words) == 130:
            stops += 1
    assert stops >= 8  # twice within each epoch, and so before, at and after Lookaheads
    whole, stopped = (checkpoint.load(tmp_path / name / checkpoint.LAST) for name in ("whole", "stopped"))
    for key, value in whole["model"].items():
        assert torch.equal(value, stopped["model"][key])
    for state, other in zip(whole["optimizer"]["state"].values(), stopped["optimizer"]["state"].values()):
        assert state.keys() == {"step", "exp_avg", "exp_avg_sq", "slow"}
        assert all(torch.equal(state[key], other[key]) for key in state)
