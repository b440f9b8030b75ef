"""normflows' Glow trained on images for so many minutes, for ``benchmarks/image_likelihood.py``.

Reads one case as JSON from standard input and writes one line of JSON: bits per dimension of each test image, in
float32 and with the average of the weights, after the minutes that the case grants. Mode, optimizer and rate are those
that did best in short trials before.
"""

from __future__ import annotations

import copy
import json
import math
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmarks.peers.normflows_glow import glow

MODES = ["float32", "channels_last", "bfloat16", "compile", "compile_bfloat16"]
# The first is that of normflows' own image example.
OPTIMIZERS = [(torch.optim.Adamax, 1e-3), (torch.optim.Adam, 5e-4), (torch.optim.Adam, 1e-3), (torch.optim.Adam, 2e-3)]
WARMUP = 100
LEVELS = 256
Case = dict[str, Any]


class Training:
    """One model, trained again and again from the same start."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(0)
        data = np.load(case["data"])
        self._images = {name: torch.from_numpy(data[name]).permute(0, 3, 1, 2).contiguous() for name in data}
        self._case = case
        self._layout = torch.contiguous_format
        size = self._images["train"].shape[-1]
        self.model = glow(size=size, levels=case["levels"], steps=case["steps"], hidden=case["hidden"])
        with torch.no_grad():
            self.model.forward_kld(self._batch("train", torch.arange(256)))  # ActNorm takes its scales from this batch
        self._start = copy.deepcopy(self.model.state_dict())
        self._choose("float32")

    def _choose(self, mode: str) -> None:
        layout = torch.channels_last if mode == "channels_last" else torch.contiguous_format
        self.model.to(memory_format=layout)
        self.mode, self._layout = mode, layout
        self._loss_of: Callable[[torch.Tensor], torch.Tensor] = self.model.forward_kld
        if mode.startswith("compile"):
            self._loss_of = torch.compile(self.model.forward_kld)

    def fastest_mode(self, seconds: float) -> str:
        """The mode with most steps; one that the library cannot do has none."""
        steps = {}
        for mode in MODES:
            self._choose(mode)
            try:
                steps[mode] = self.train(torch.optim.Adam, 1e-5, seconds)[1]
            except Exception as error:  # noqa: BLE001 - whatever stops a compiler
                print(f"normflows, {mode}: {type(error).__name__}", file=sys.stderr)
        best = max(steps, key=lambda mode: steps[mode])
        self._choose(best)
        return best

    def train(self, optimizer_type: Any, rate: float, seconds: float) -> tuple[nn.Module, int]:
        """Warm-up, cosine decay to zero over the seconds, clipped gradients; the averaged model, and the steps."""
        self.model.load_state_dict(self._start)
        average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
        optimizer = optimizer_type(self.model.parameters(), lr=rate)
        generator = torch.Generator().manual_seed(0)
        size, count = self._case["batch"], len(self._images["train"])
        for _ in range(3):  # compile, and warm up, before the clock starts
            self._loss(torch.arange(size)).backward()
        start, steps = time.monotonic(), 0
        while (fraction := (time.monotonic() - start) / seconds) < 1:
            warm = min(1.0, (steps + 1) / (WARMUP + 1))
            optimizer.param_groups[0]["lr"] = rate * warm * 0.5 * (1 + math.cos(math.pi * fraction))
            optimizer.zero_grad(set_to_none=True)
            self._loss(torch.randint(count, [size], generator=generator)).backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self._case["clip_norm"])
            optimizer.step()
            average.update_parameters(self.model)
            steps += 1
        return average.module, steps

    def bits_per_dim(self, model: nn.Module, name: str) -> list[float]:
        """Of each image, in float32."""
        images = self._images[name]
        torch.manual_seed(1)
        with torch.no_grad():
            places = torch.arange(len(images)).split(self._case["batch"])
            parts = [model.log_prob(self._batch(name, each), None) for each in places]
        dimensions = math.prod(images.shape[1:])
        return (math.log2(LEVELS) - torch.cat(parts) / (dimensions * math.log(2))).tolist()

    def _loss(self, places: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16) if self.mode.endswith("bfloat16") else nullcontext():
            return self._loss_of(self._batch("train", places))

    def _batch(self, name: str, places: torch.Tensor) -> torch.Tensor:
        images = self._images[name][places].float()
        return ((images + torch.rand(images.shape)) / LEVELS).contiguous(memory_format=self._layout)


def main() -> None:
    """Choose on the held-out images, train at length, measure on the test images."""
    case = json.load(sys.stdin)
    training = Training(case)
    mode = training.fastest_mode(case["trial_seconds"] / 3)

    def tried(candidate: tuple[Any, float]) -> float:
        model, _ = training.train(*candidate, case["trial_seconds"])
        reached = float(np.mean(training.bits_per_dim(model, "trial")))
        return reached if math.isfinite(reached) else math.inf

    optimizer, rate = min(OPTIMIZERS, key=tried)
    model, steps = training.train(optimizer, rate, case["seconds"])
    parameters = sum(each.numel() for each in training.model.parameters() if each.requires_grad)
    made = {"steps": steps, "parameters": parameters, "settings": f"{mode}, {optimizer.__name__} {rate:g}"}
    print(json.dumps({**made, "bits_per_dim": training.bits_per_dim(model, "test")}))


if __name__ == "__main__":
    main()
