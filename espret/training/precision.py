"""What training computes in: `train.precision`. Weights, gradients and the optimiser's state are always float32."""

from __future__ import annotations

import math
from typing import Literal

import torch

from espret.errors import EspretError

Name = Literal["float32", "tf32", "bfloat16", "float16"]
LOWER = {"bfloat16": torch.bfloat16, "float16": torch.float16}
SMALLEST_SCALE = 2.0**-10  # of the loss in float16: below it, gradients overflow whatever the scale is


class Precision:
    """float32 is IEEE's; tf32 lets a GPU round the factors of products to 10 bits; bfloat16 and float16 are torch's
    automatic mixed precision, float16 with a loss scale that steps which overflow make smaller.
    """

    def __init__(self, name: Name, device: torch.device) -> None:
        self.lower = LOWER.get(name)
        self.device = device
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "float16")
        if device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "tf32"

    def autocast(self) -> torch.autocast:
        """The context of forward passes."""
        return torch.autocast(self.device.type, self.lower, enabled=self.lower is not None)

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """The optimiser's step; False where it was left out because gradients overflowed in float16."""
        if not self.scaler.is_enabled():
            optimizer.step()
            return True
        before = self.scaler.get_scale()
        self.scaler.step(optimizer)
        self.scaler.update()
        scale = self.scaler.get_scale()
        if scale < SMALLEST_SCALE or not math.isfinite(scale):
            raise EspretError(
                f"gradients overflow in float16 even with the loss scaled by {scale:g}; set train.precision to "
                "bfloat16 or float32, or lower train.optimizer.lr"
            )
        return scale >= before
