"""Spline flows of PyTorch's libraries on points in the plane, for ``benchmarks.point_sets``.

Reads one case as JSON from standard input, writes the log-density of each test point to ``case["output"]`` and one
line of JSON to standard output.
"""

from __future__ import annotations

import copy
import json
import math
import sys
import time
from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import nflows.distributions
import nflows.flows
import nflows.transforms
import numpy as np
import torch
import zuko
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from benchmarks.peers.compiled import compiled

BOUND = 5.0
WARMUP = 100
AVERAGE = 0.99
CHUNK = 10_000
Case = dict[str, Any]


class Network(nn.Module):
    """A coupling network as nflows calls one, with a context that it does not use."""

    def __init__(self, inputs: int, outputs: int, hidden: list[int]) -> None:
        super().__init__()
        sizes = [inputs, *hidden]
        layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))

    def forward(self, x: torch.Tensor, context: None = None) -> torch.Tensor:  # noqa: ARG002
        """The network's output."""
        return self.layers(x)


class LogProb(nn.Module):
    """A flow whose call is the log-density of each point, which is what gets compiled."""

    def __init__(self, flow: nn.Module, log_prob: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.flow, self._log_prob = flow, log_prob

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[n, 2]`` to ``[n]``."""
        return self._log_prob(x)


def zuko_flow(*, layers: int, hidden: list[int], bins: int) -> LogProb:
    """The NSF of zuko: each transform is autoregressive, and changes both coordinates."""
    flow = zuko.flows.NSF(features=2, transforms=layers, hidden_features=hidden, bins=bins)
    return LogProb(flow, lambda x: flow().log_prob(x))


def nflows_flow(*, layers: int, hidden: list[int], bins: int) -> LogProb:
    """The RQ-NSF (C) of nflows: each transform changes one coordinate."""
    parts = [
        nflows.transforms.PiecewiseRationalQuadraticCouplingTransform(
            torch.arange(2) % 2 == layer % 2,
            lambda inputs, outputs: Network(inputs, outputs, hidden),
            num_bins=bins,
            tails="linear",
            tail_bound=BOUND,
        )
        for layer in range(layers)
    ]
    flow = nflows.flows.Flow(nflows.transforms.CompositeTransform(parts), nflows.distributions.StandardNormal([2]))
    return LogProb(flow, flow.log_prob)


LIBRARIES = {"zuko": zuko_flow, "nflows": nflows_flow}


def parameters(model: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(each.numel() for each in model.parameters() if each.requires_grad)


def of_size(build: Callable[..., LogProb], size: int, *, layers: int, bins: int) -> LogProb:
    """The flow of two equal hidden layers that has as many parameters as ``size``, or the next larger one."""

    def at(width: int) -> LogProb:
        return build(layers=layers, hidden=[width, width], bins=bins)

    return at(bisect_left(range(257), size, lo=8, key=lambda width: parameters(at(width))))


class Candidate:
    """A flow of some sizes that is trained several times from the same start."""

    def __init__(self, case: Case, *, layers: int, bins: int) -> None:
        torch.manual_seed(case["seed"])
        self.layers, self.bins, self._case = layers, bins, case
        data = np.load(case["data"])
        center, scale = data["train"].mean(axis=0), data["train"].std(axis=0)
        self._points = {name: torch.from_numpy((data[name] - center) / scale).float() for name in data}
        self._log_scale = float(np.log(scale).sum())
        self.model = of_size(LIBRARIES[case["library"]], case["parameters"], layers=layers, bins=bins)
        self._start = copy.deepcopy(self.model.state_dict())
        self._loss_of: Callable[[torch.Tensor], torch.Tensor] = self.model

    def compile(self, seconds: float) -> None:
        """From here on in the way that makes most steps in so many seconds."""
        steps = {self._loss_of: self.train(1e-3, seconds)}
        for way in compiled(self.model, self.model, self._points["train"][: self._case["batch"]]):
            self._loss_of = way
            steps[way] = self.train(1e-3, seconds)
        self._loss_of = max(steps, key=lambda way: steps[way])

    @property
    def mode(self) -> str:
        """Whether it trains as it is or compiled."""
        return "eager" if self._loss_of is self.model else "compiled"

    def train(self, rate: float, seconds: float) -> int:
        """Adam with warm-up, cosine decay to zero and the average of the weights, over seconds of this process's time.

        Gives the steps.
        """
        case, points = self._case, self._points["train"]
        self.model.load_state_dict(self._start)
        for _ in range(5):  # compile, and warm up, before the clock starts
            self._loss_of(points[: case["batch"]]).mean().backward()
        weights = list(self.model.parameters())
        average, update = [each.detach().clone() for each in weights], get_ema_multi_avg_fn(AVERAGE)
        optimizer = torch.optim.Adam(weights, lr=rate, fused=True)
        generator = torch.Generator().manual_seed(case["seed"])
        start, steps = time.process_time(), 0
        while (fraction := (time.process_time() - start) / seconds) < 1:
            warm = min(1.0, (steps + 1) / (WARMUP + 1))
            optimizer.param_groups[0]["lr"] = rate * warm * 0.5 * (1 + math.cos(math.pi * fraction))
            batch = points[torch.randint(len(points), [case["batch"]], generator=generator)]
            optimizer.zero_grad(set_to_none=True)
            loss = -self._loss_of(batch).mean()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, case["clip_norm"])
            optimizer.step()
            update(average, weights, steps)
            steps += 1
        for each, averaged in zip(weights, average, strict=True):
            each.data.copy_(averaged)
        return steps

    def log_prob(self, name: str) -> np.ndarray:
        """Of the points of a name, ``(n,)``, in the units of the data."""
        with torch.no_grad():
            parts = [self.model(part) for part in self._points[name].split(CHUNK)]
        return torch.cat(parts).numpy() - self._log_scale

    def score(self) -> float:
        """Mean log-density of the trial points; that of a flow that has none is below all others."""
        return float(np.nan_to_num(self.log_prob("trial").mean(), nan=-math.inf))


def main() -> None:
    """Choose sizes and rate on trial points, train at length, and evaluate on the test points."""
    case = json.load(sys.stdin)
    torch.set_num_threads(1)
    trials = []
    choice = case["choice"]
    for layers, bins in product(choice["layers"], choice["bins"]):
        candidate = Candidate(case, layers=layers, bins=bins)
        for rate in choice["rates"]:
            candidate.train(rate, case["trial_seconds"])
            trials.append((candidate.score(), rate, candidate))
    _, rate, chosen = max(trials, key=lambda trial: trial[0])
    chosen.compile(case["mode_seconds"])  # as late as this, for it takes a minute
    steps = chosen.train(rate, case["seconds"])
    np.save(case["output"], chosen.log_prob("test"))
    made = {"steps": steps, "parameters": parameters(chosen.model), "rate": rate}
    print(json.dumps({**made, "layers": chosen.layers, "bins": chosen.bins, "mode": chosen.mode}))


if __name__ == "__main__":
    main()
