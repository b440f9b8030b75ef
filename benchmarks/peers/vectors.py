"""Training steps a second of PyTorch's flow libraries; run by ``benchmarks.vectors`` under their own interpreter.

Reads the cases as JSON from standard input and writes one JSON line a measurement.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from itertools import chain, pairwise
from typing import Any

import nflows.distributions
import nflows.flows
import nflows.nn.nets
import nflows.transforms
import normflows
import torch
import zuko
from normflows.flows.neural_spline.coupling import PiecewiseRationalQuadraticCoupling
from torch import nn

from benchmarks.peers.compiled import compiled

BOUND = 5.0
Case = dict[str, Any]


def mlp(inputs: int, outputs: int, hidden: list[int]) -> nn.Module:
    """The coupling network that all libraries get."""
    sizes = [inputs, *hidden]
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))


class WithContext(nn.Module):
    """A network called with a context that it does not use, as nflows and normflows call theirs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor, context: None = None) -> torch.Tensor:  # noqa: ARG002
        """The network's output."""
        return self.network(x)


def zuko_flow(case: Case) -> nn.Module:
    """Couplings are zuko's autoregressive flows of two passes."""
    options = {"features": case["features"], "transforms": case["layers"], "hidden_features": case["hidden"]}
    if case["flow"] == "realnvp":
        flow = zuko.flows.MAF(passes=2, **options)
    else:
        flow = zuko.flows.NSF(passes=2, bins=case["bins"], **options)
    return _Loss(flow, lambda x: -flow().log_prob(x).mean())


def nflows_flow(case: Case) -> nn.Module:
    """Couplings of alternating masks."""
    features, parts = case["features"], []
    for layer in range(case["layers"]):
        mask = torch.arange(features) % 2 == layer % 2

        def network(inputs: int, outputs: int) -> nn.Module:
            return WithContext(mlp(inputs, outputs, case["hidden"]))

        if case["flow"] == "realnvp":
            parts.append(nflows.transforms.AffineCouplingTransform(mask, network))
        else:
            parts.append(
                nflows.transforms.PiecewiseRationalQuadraticCouplingTransform(
                    mask, network, num_bins=case["bins"], tails="linear", tail_bound=BOUND
                )
            )
    flow = nflows.flows.Flow(
        nflows.transforms.CompositeTransform(parts), nflows.distributions.StandardNormal([features])
    )
    return _Loss(flow, lambda x: -flow.log_prob(x).mean())


def normflows_flow(case: Case) -> nn.Module:
    """Couplings of alternating masks."""
    features, parts = case["features"], []
    for layer in range(case["layers"]):
        mask = (torch.arange(features) % 2 == layer % 2).float()
        if case["flow"] == "realnvp":
            networks = [mlp(features, features, case["hidden"]) for _ in range(2)]
            parts.append(normflows.flows.MaskedAffineFlow(mask, *networks))
        else:

            def network(inputs: int, outputs: int) -> nn.Module:
                return WithContext(mlp(inputs, outputs, case["hidden"]))

            parts.append(_Spline(mask, network, case["bins"]))
    flow = normflows.NormalizingFlow(normflows.distributions.DiagGaussian(features, trainable=False), parts)
    return _Loss(flow, flow.forward_kld)


class _Spline(normflows.flows.Flow):
    """What ``CoupledRationalQuadraticSpline`` is, with the network of the others."""

    def __init__(self, mask: torch.Tensor, network: Callable[[int, int], nn.Module], bins: int) -> None:
        super().__init__()
        self.coupling = PiecewiseRationalQuadraticCoupling(
            mask=mask, transform_net_create_fn=network, num_bins=bins, tails="linear", tail_bound=BOUND,
            apply_unconditional_transform=False,
        )  # fmt: skip

    def inverse(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Data to latent."""
        z, log_det = self.coupling(x)
        return z, log_det.view(-1)


class _Loss(nn.Module):
    """A flow whose call is its mean negative log-likelihood, which is what gets compiled."""

    def __init__(self, flow: nn.Module, loss: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.flow, self._loss = flow, loss

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The loss of a batch."""
        return self._loss(x)


LIBRARIES = {"zuko": zuko_flow, "nflows": nflows_flow, "normflows": normflows_flow}


def steps_per_second(case: Case, flow: nn.Module, loss_of: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """The best of a few timed stretches of training."""
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-4, fused=True)
    x = torch.randn(case["batch"], case["features"])

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x)
        loss.backward()
        optimizer.step()
        loss.item()

    for _ in range(5):
        step()
    best = 0.0
    for _ in range(case["stretches"]):
        count, start = 0, time.perf_counter()
        while (seconds := time.perf_counter() - start) < case["seconds"]:
            step()
            count += 1
        best = max(best, count / seconds)
    return best


def main() -> None:
    """Measure every case that comes in, as it is and compiled."""
    request = json.load(sys.stdin)
    for case in request["cases"]:
        for library, build in LIBRARIES.items():
            torch.manual_seed(0)
            flow = build(case)
            for way in chain([flow], compiled(flow, flow, torch.randn(case["batch"], case["features"]))):
                mode = "eager" if way is flow else "compiled"
                rate = steps_per_second(case, flow, way)
                print(json.dumps({"library": library, "mode": mode, "rate": rate}), flush=True)


if __name__ == "__main__":
    main()
