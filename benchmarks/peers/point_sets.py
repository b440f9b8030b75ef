"""Spline flows of PyTorch's libraries on points in the plane; run by ``benchmarks/point_sets.py`` under their interpreter.

Reads one case as JSON from standard input, writes the log-density of each test point to ``case["output"]`` and one
line of JSON to standard output.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import nflows.distributions
import nflows.flows
import nflows.transforms
import numpy as np
import torch
import zuko
from torch import nn

BOUND = 5.0
WARMUP = 100
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
    """zuko's NSF: each transform is autoregressive, and changes both coordinates."""
    flow = zuko.flows.NSF(features=2, transforms=layers, hidden_features=hidden, bins=bins)
    return LogProb(flow, lambda x: flow().log_prob(x))


def nflows_flow(*, layers: int, hidden: list[int], bins: int) -> LogProb:
    """nflows' RQ-NSF (C): each transform changes one coordinate."""
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
    """The flow of two equal hidden layers whose number of parameters is nearest to ``size``."""
    width = min(range(8, 257), key=lambda w: abs(parameters(build(layers=layers, hidden=[w, w], bins=bins)) - size))
    return build(layers=layers, hidden=[width, width], bins=bins)


def train(model: LogProb, loss_of: Callable[[torch.Tensor], torch.Tensor], points: torch.Tensor, case: Case) -> int:
    """Adam with warm-up and cosine decay to zero over ``case["seconds"]`` of this process's time; gives the steps."""
    optimizer = torch.optim.Adam(model.parameters(), lr=case["rate"], fused=True)
    generator = torch.Generator().manual_seed(case["seed"])
    start, steps = time.process_time(), 0
    while (fraction := (time.process_time() - start) / case["seconds"]) < 1:
        warm = min(1.0, (steps + 1) / (WARMUP + 1))
        optimizer.param_groups[0]["lr"] = case["rate"] * warm * 0.5 * (1 + math.cos(math.pi * fraction))
        batch = points[torch.randint(len(points), [case["batch"]], generator=generator)]
        optimizer.zero_grad(set_to_none=True)
        loss = -loss_of(batch).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), case["clip_norm"])
        optimizer.step()
        steps += 1
    return steps


def main() -> None:
    """Train the flow of one case and evaluate it."""
    case = json.load(sys.stdin)
    torch.manual_seed(case["seed"])
    torch.set_num_threads(1)
    data = np.load(case["data"])
    center, scale = data["train"].mean(axis=0), data["train"].std(axis=0)
    points, test = (torch.from_numpy((data[name] - center) / scale).float() for name in ("train", case["test"]))
    model = of_size(LIBRARIES[case["library"]], case["parameters"], layers=case["layers"], bins=case["bins"])
    loss_of = torch.compile(model) if case["compiled"] else model
    for _ in range(5):  # compile, and warm up, before the clock starts
        loss_of(points[: case["batch"]]).mean().backward()
    model.zero_grad(set_to_none=True)
    steps = train(model, loss_of, points, case)
    with torch.no_grad():
        log_prob = torch.cat([model(part) for part in test.split(CHUNK)]).numpy() - np.log(scale).sum()
    np.save(case["output"], log_prob)
    print(json.dumps({"steps": steps, "parameters": parameters(model)}))


if __name__ == "__main__":
    main()
