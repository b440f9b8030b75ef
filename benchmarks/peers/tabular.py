"""zuko's spline flow and pyod's ECOD at their defaults, for ``benchmarks.tabular``.

Reads one case as JSON from standard input: a method, and a folder with ``rows.npz``, of which ``train`` is fitted to.
Writes ``scores.npy`` there: of each of its ``test`` rows the log-density, or how usual it is.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

Array = np.ndarray
RATE, BATCH, HELD_OUT, PATIENCE, EPOCHS = 5e-4, 200, 0.1, 20, 2_000


def zuko_nsf(train: Array, test: Array) -> Array:
    """The NSF, trained as sbi trains it, zuko having no training of its own: Adam until the held-out rows end it."""
    import torch
    import zuko

    torch.manual_seed(0)
    torch.set_num_threads(1)
    rows = torch.from_numpy(train).float()[torch.randperm(len(train))]
    held = max(1, round(HELD_OUT * len(rows)))
    held_out, rows = rows[:held], rows[held:]
    flow = zuko.flows.NSF(features=train.shape[1])
    optimizer = torch.optim.Adam(flow.parameters(), lr=RATE)
    best, kept, waited = -np.inf, copy.deepcopy(flow.state_dict()), 0
    for _ in range(EPOCHS):
        for batch in rows[torch.randperm(len(rows))].split(BATCH):
            optimizer.zero_grad()
            (-flow().log_prob(batch).mean()).backward()
            torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
            optimizer.step()
        with torch.no_grad():
            likelihood = float(flow().log_prob(held_out).mean())
        waited += 1
        if likelihood > best:
            best, kept, waited = likelihood, copy.deepcopy(flow.state_dict()), 0
        if waited > PATIENCE:
            break
    flow.load_state_dict(kept)
    with torch.no_grad():
        return flow().log_prob(torch.from_numpy(test).float()).numpy()


def pyod_ecod(train: Array, test: Array) -> Array:
    """Empirical cumulative distributions (Li et al. 2022), each row alone.

    ECOD counts the rows of one call among those that it was fitted to: many outliers at once would look usual.
    """
    from pyod.models.ecod import ECOD

    detector = ECOD().fit(train)
    return -np.concatenate([detector.decision_function(row[None]) for row in test])


METHODS: dict[str, Callable[[Array, Array], Array]] = {"zuko_nsf": zuko_nsf, "pyod_ecod": pyod_ecod}


def main() -> None:
    """Fit and write the scores."""
    case = json.load(sys.stdin)
    folder = Path(case["folder"])
    rows = np.load(folder / "rows.npz")
    np.save(folder / "scores.npy", METHODS[case["method"]](rows["train"], rows["test"]))


if __name__ == "__main__":
    main()
