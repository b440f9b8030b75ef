"""Worker: FrEIA's GLOW blocks in a multi-scale graph. Modes: float32, channels_last, bfloat16 (autocast)."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import FrEIA.framework as ff
import FrEIA.modules as fm
import torch

from benchmarks.timing import arguments, report


def network(hidden: int) -> Any:
    """The coupling network of Glow: 3x3, 1x1, 3x3."""

    def build(inputs: int, outputs: int) -> Any:
        return torch.nn.Sequential(
            torch.nn.Conv2d(inputs, hidden, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(hidden, hidden, 1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(hidden, outputs, 3, padding=1),
        )

    return build


def glow(*, size: int, levels: int, steps: int, hidden: int) -> Any:
    """Squeeze, steps of ActNorm, 1x1 convolution and coupling, split; three times over."""
    nodes = [ff.InputNode(3, size, size)]
    outputs = []
    for level in range(levels):
        nodes.append(ff.Node(nodes[-1], fm.IRevNetDownsampling, {}))
        channels = 12 * 2**level
        for _ in range(steps):
            nodes.append(ff.Node(nodes[-1], fm.ActNorm, {}))
            nodes.append(
                ff.Node(nodes[-1], fm.Fixed1x1Conv, {"M": torch.linalg.qr(torch.randn(channels, channels))[0]})
            )
            nodes.append(ff.Node(nodes[-1], fm.GLOWCouplingBlock, {"subnet_constructor": network(hidden)}))
        if level < levels - 1:
            split = ff.Node(nodes[-1], fm.Split, {"section_sizes": [channels // 2, channels // 2], "dim": 0})
            nodes.append(split)
            outputs.append(ff.OutputNode(split.out1))
            nodes.append(ff.Node(split.out0, fm.Reshape, {"output_dims": (channels // 2, *_sides(size, level))}))
    outputs.append(ff.OutputNode(nodes[-1]))
    return ff.GraphINN(nodes + outputs)


def _sides(size: int, level: int) -> tuple[int, int]:
    return size // 2 ** (level + 1), size // 2 ** (level + 1)


def main() -> None:
    """Time one task."""
    wanted = arguments()
    torch.manual_seed(0)
    model = glow(size=wanted.size, levels=wanted.levels, steps=wanted.steps, hidden=wanted.hidden)
    x = torch.rand(wanted.batch, 3, wanted.size, wanted.size)
    if wanted.mode == "channels_last":
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)

    def precision() -> Any:
        return torch.autocast("cpu", torch.bfloat16) if wanted.mode == "bfloat16" else nullcontext()

    def log_likelihood() -> Any:
        parts, log_det = model(x)
        return log_det - 0.5 * sum(part.flatten(1).pow(2).sum(1) for part in parts)

    def train() -> float:
        optimizer.zero_grad()
        with precision():
            loss = -log_likelihood().mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    def log_prob() -> Any:
        with torch.inference_mode(), precision():
            return log_likelihood()

    with torch.no_grad():
        noise = [torch.randn_like(part) for part in model(x)[0]]

    def sample() -> Any:
        with torch.inference_mode(), precision():
            return model(noise, rev=True)

    parameters = sum(each.numel() for each in model.parameters() if each.requires_grad)
    work = {"train": train, "log_prob": log_prob, "sample": sample}[wanted.task]
    report(work, batch=wanted.batch, seconds=wanted.seconds, parameters=parameters)


if __name__ == "__main__":
    main()
