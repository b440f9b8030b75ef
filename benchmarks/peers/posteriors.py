"""sbi's NPE with a neural spline flow, at its defaults, for ``benchmarks.posteriors``.

Reads a case as JSON from standard input, writes ``samples.npy`` beside its ``case.npz`` and one line of JSON with
seconds to standard output.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from sbi.inference import NPE
from sbi.utils import BoxUniform


def main() -> None:
    """Train on the simulations and sample at each observation."""
    case = json.loads(sys.stdin.read())
    folder = Path(case["folder"])
    os.chdir(folder)  # where sbi leaves its logs
    arrays = {
        name: torch.as_tensor(values, dtype=torch.float32) for name, values in np.load(folder / "case.npz").items()
    }
    torch.manual_seed(case["seed"])
    width = arrays["theta"].shape[1]
    prior = BoxUniform(-case["half"] * torch.ones(width), case["half"] * torch.ones(width))
    inference = NPE(prior=prior, density_estimator="nsf", show_progress_bars=False)
    start = time.perf_counter()
    inference.append_simulations(arrays["theta"], arrays["x"]).train()
    trained = time.perf_counter()
    posterior = inference.build_posterior()
    samples = [
        posterior.sample((case["samples"],), x=x, show_progress_bars=False).numpy() for x in arrays["observations"]
    ]
    np.save(folder / "samples.npy", np.stack(samples))
    done = time.perf_counter()
    print()  # sbi leaves its last line open
    print(json.dumps({"training": trained - start, "sampling": (done - trained) / len(samples)}))


if __name__ == "__main__":
    main()
