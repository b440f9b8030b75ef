"""normflows' Glow trained on images for so many minutes, for ``benchmarks.image_likelihood``.

Reads one case as JSON from standard input and writes one line of JSON: bits per dimension of each test image, in
float32 and with the average of the weights, after the minutes that the case grants. Of that average the one is kept
that did best on the held-out images after an epoch, as ours is. Mode, optimizer, rate, weight decay and size of a batch
are those that did best in short trials before.
"""

from __future__ import annotations

import copy
import json
import math
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmarks.peers.normflows_glow import glow

MODES = ["float32", "channels_last", "bfloat16", "compile", "compile_bfloat16"]


class Candidate(NamedTuple):
    """How to train."""

    optimizer: type[torch.optim.Optimizer]
    rate: float
    decay: float
    batch: int

    def __str__(self) -> str:
        return f"{self.optimizer.__name__} {self.rate:g}, decay {self.decay:g}, batch {self.batch}"


CANDIDATES = [
    Candidate(torch.optim.Adamax, 1e-3, 0.0, 32),  # that of normflows' own image example
    Candidate(torch.optim.AdamW, 4e-3, 0.5, 16),
    *(Candidate(torch.optim.AdamW, rate, decay, 32) for rate in (2e-3, 4e-3, 8e-3) for decay in (0.0, 0.5)),
]
WARMUP = 100
LEVELS = 256
EVALUATED_AT_ONCE = 256
Case = dict[str, Any]


class Training:
    """One model, trained again and again from the same start."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(0)
        self._noise = torch.Generator().manual_seed(0)
        data = np.load(case["data"])
        self._images = {name: torch.from_numpy(data[name]).permute(0, 3, 1, 2).contiguous() for name in data}
        self._case = case
        self._layout = torch.contiguous_format
        size = self._images["train"].shape[-1]
        self.model = glow(size=size, levels=case["levels"], steps=case["steps"], hidden=case["hidden"])
        with torch.no_grad():
            # ActNorm takes its scales from this batch.
            self.model.forward_kld(self._batch("train", torch.arange(256), self._noise))
        self._start = copy.deepcopy(self.model.state_dict())
        self.choose("float32")

    def choose(self, mode: str) -> None:
        """How it computes from now on."""
        layout = torch.channels_last if mode == "channels_last" else torch.contiguous_format
        self.model.to(memory_format=layout)
        self.mode, self._layout = mode, layout
        self._loss_of: Callable[[torch.Tensor], torch.Tensor] = self.model.forward_kld
        if mode.startswith("compile"):
            self._loss_of = torch.compile(self.model.forward_kld)

    def fastest_mode(self, seconds: float, *, batch: int) -> str:
        """The mode with most steps; one that the library cannot do has none."""
        steps = {}
        for mode in MODES:
            self.choose(mode)
            try:
                steps[mode] = self.train(Candidate(torch.optim.AdamW, 1e-5, 0.0, batch), seconds)[1]
            except Exception as error:  # noqa: BLE001 - whatever stops a compiler
                print(f"normflows, {mode}: {type(error).__name__}", file=sys.stderr)
        return max(steps, key=lambda mode: steps[mode])

    def train(self, how: Candidate, seconds: float) -> tuple[nn.Module, int, float]:
        """Warm-up, cosine decay to zero over the seconds, clipped gradients.

        The averaged model, the steps, and the bits per dimension of the held-out images.
        """
        self.model.load_state_dict(self._start)
        average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
        optimizer = how.optimizer(self._groups(how.decay), lr=how.rate)
        generator = torch.Generator().manual_seed(0)
        count = len(self._images["train"])
        per_epoch, best, kept = count // how.batch, math.inf, average.module
        for _ in range(3):  # compile, and warm up, before the clock starts
            self._loss(torch.arange(how.batch)).backward()
        start, steps = time.monotonic(), 0
        while (fraction := (time.monotonic() - start) / seconds) < 1:
            warm = min(1.0, (steps + 1) / (WARMUP + 1))
            for group in optimizer.param_groups:
                group["lr"] = how.rate * warm * 0.5 * (1 + math.cos(math.pi * fraction))
            optimizer.zero_grad(set_to_none=True)
            self._loss(torch.randint(count, [how.batch], generator=generator)).backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self._case["clip_norm"])
            optimizer.step()
            average.update_parameters(self.model)
            steps += 1
            if steps % per_epoch == 0 and (reached := self.held_out(average.module)) < best:
                best, kept = reached, copy.deepcopy(average.module)
        if (reached := self.held_out(average.module)) < best:
            best, kept = reached, average.module
        return kept, steps, best

    def held_out(self, model: nn.Module) -> float:
        """Bits per dimension of the held-out images; infinite where they are not finite."""
        reached = float(np.mean(self.bits_per_dim(model, "held_out")))
        return reached if math.isfinite(reached) else math.inf

    def bits_per_dim(self, model: nn.Module, name: str) -> list[float]:
        """Of each image, in float32."""
        images, noise = self._images[name], torch.Generator().manual_seed(1)
        with torch.no_grad():
            places = torch.arange(len(images)).split(EVALUATED_AT_ONCE)
            parts = [model.log_prob(self._batch(name, each, noise), None) for each in places]
        dimensions = math.prod(images.shape[1:])
        return (math.log2(LEVELS) - torch.cat(parts) / (dimensions * math.log(2))).tolist()

    def _loss(self, places: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16) if self.mode.endswith("bfloat16") else nullcontext():
            return self._loss_of(self._batch("train", places, self._noise, flip=self._case["flip"]))

    def _groups(self, decay: float) -> list[dict[str, Any]]:
        """Weight decay is for the kernels of the coupling networks alone, as in ours."""
        kernels = [each.weight for each in self.model.modules() if isinstance(each, nn.Conv2d)]
        known = {id(each) for each in kernels}
        others = [each for each in self.model.parameters() if id(each) not in known]
        return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]

    def _batch(self, name: str, places: torch.Tensor, noise: torch.Generator, *, flip: bool = False) -> torch.Tensor:
        images = self._images[name][places].float()
        if flip:
            images = torch.where(torch.rand(len(images), 1, 1, 1, generator=noise) < 0.5, images.flip(-1), images)  # noqa: PLR2004
        return ((images + torch.rand(images.shape, generator=noise)) / LEVELS).contiguous(memory_format=self._layout)


def main() -> None:
    """Choose on the held-out images, train at length, measure on the test images."""
    case = json.load(sys.stdin)
    training = Training(case)
    sizes = {each.batch for each in CANDIDATES}
    modes = {size: training.fastest_mode(case["trial_seconds"] / 3, batch=size) for size in sizes}

    def tried(candidate: Candidate) -> float:
        training.choose(modes[candidate.batch])
        _, steps, reached = training.train(candidate, case["trial_seconds"])
        print(f"normflows, {training.mode}, {candidate}: {steps} steps, {reached:.3f}", file=sys.stderr, flush=True)
        return reached

    best = min(CANDIDATES, key=tried)
    training.choose(modes[best.batch])
    model, steps, _ = training.train(best, case["seconds"])
    parameters = sum(each.numel() for each in training.model.parameters() if each.requires_grad)
    made = {"steps": steps, "parameters": parameters, "settings": f"{training.mode}, {best}"}
    print(json.dumps({**made, "bits_per_dim": training.bits_per_dim(model, "test")}))


if __name__ == "__main__":
    main()
