"""Worker: normflows' Glow. Modes: float32, channels_last, bfloat16 (autocast), compile, compile_bfloat16."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import normflows as nf
import torch

from benchmarks.timing import arguments, report


def glow(*, size: int, levels: int, steps: int, hidden: int) -> Any:
    """The multi-scale model of normflows' image example."""
    bases, merges, flows = [], [], []
    for level in range(levels):
        channels = 3 * 2 ** (levels + 1 - level)
        blocks = [nf.flows.GlowBlock(channels, hidden, split_mode="channel", scale=True) for _ in range(steps)]
        flows.append([*blocks, nf.flows.Squeeze()])
        if level:
            merges.append(nf.flows.Merge())
            shape = (channels // 2, size // 2 ** (levels - level), size // 2 ** (levels - level))
        else:
            shape = (channels, size // 2**levels, size // 2**levels)
        bases.append(nf.distributions.DiagGaussian(shape))
    return nf.MultiscaleFlow(bases, flows, merges)


def main() -> None:
    """Time one task."""
    wanted = arguments()
    torch.manual_seed(0)
    model = glow(size=wanted.size, levels=wanted.levels, steps=wanted.steps, hidden=wanted.hidden)
    x = torch.rand(wanted.batch, 3, wanted.size, wanted.size)
    with torch.no_grad():
        model.forward_kld(x)  # ActNorm takes its scales from this batch
    if wanted.mode == "channels_last":
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
    compiled = torch.compile if wanted.mode.startswith("compile") else lambda function: function
    loss_of, log_prob_of = compiled(model.forward_kld), compiled(model.log_prob)

    def precision() -> Any:
        return torch.autocast("cpu", torch.bfloat16) if wanted.mode.endswith("bfloat16") else nullcontext()

    def train() -> float:
        optimizer.zero_grad()
        with precision():
            loss = loss_of(x)
        loss.backward()
        optimizer.step()
        return loss.item()

    def log_prob() -> Any:
        with torch.inference_mode(), precision():
            return log_prob_of(x, None)

    def sample() -> Any:
        with torch.inference_mode(), precision():
            return model.sample(wanted.batch)

    parameters = sum(each.numel() for each in model.parameters() if each.requires_grad)
    work = {"train": train, "log_prob": log_prob, "sample": sample}[wanted.task]
    report(work, batch=wanted.batch, seconds=wanted.seconds, parameters=parameters)


if __name__ == "__main__":
    main()
