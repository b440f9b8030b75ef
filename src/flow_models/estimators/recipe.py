"""How large a flow is and how it is trained: one rule for all data."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

FEWEST = 10  # rows, of which a mixture of Gaussians can be told
FEW = 2_000  # rows, below which a large ensemble is worth its time
MANY = 16_000  # rows, from which on a flow is as deep as it gets
PLANE = 2  # columns, up to which a density has finer splines


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How large a flow is and how it is trained.

    Attributes:
        layers: couplings.
        hidden: units of each of the two hidden layers of the coupling networks.
        bins: of the splines.
        members: flows in the ensemble.
        batch: rows of a step.
        steps: along which the rate of learning falls to nothing.
        rate: of learning, at its peak.
        weight_decay: of the networks' kernels.
        mixtures: whether a density of rows has a mixture of Gaussians beside each flow, see ``DensityCore``.
        smoothing: deviation of the noise added to the rows at the start of training, in units of their own, times
            ``n^(-1/(p+4))``; it falls to nothing by the end. What fits noisy rows is smooth (Rothfuss et al. 2019,
            "Noise regularization for conditional density estimation"), and the held-out rows say how much is best.
    """

    layers: int
    hidden: int
    bins: int
    members: int
    batch: int
    steps: int
    rate: float
    weight_decay: float
    smoothing: float = 0.0
    mixtures: bool = False

    @classmethod
    def of(cls, n: int, p: int, m: int = 0) -> Recipe:
        """The one rule for all data: n rows of p columns, given m others.

        The coupling networks have ``16 √(n / 250)`` units, between 16 and 128; there are 4 couplings below 1,000
        rows, 6 below 16,000 and 8 above. Below 2,000 rows five flows are averaged, below 20,000 three, below 500,000
        two; from 10 to 20,000 a mixture of Gaussians goes with each. A step takes a quarter of the rows, up to 512;
        given others and below 16,000 rows up to 256, whose noise does what a decay does, in less time. The splines have
        8 bins; of one or two columns alone, of whose fine structure few rows can tell, 16, and half of the noise.

        Few steps at a high rate find smoother flows than many at a low one, which learn the rows by heart: ``15 √n``,
        between 1,000 and 20,000, at a rate of 0.012, from 10,000 rows on less by ``√(10000 / n)``. All are taken, for
        the held-out rows are often likeliest at the end, after they were less likely for long. The networks decay the
        more, the more numbers each takes: i of them, those given and half of the columns, by ``i² / 8``, at most 2;
        from 1,000 rows on less by ``√(1000 / n)``. Given others, there is a quarter of the noise: what it blurs is
        the narrow conditional density, not the wide one of all rows.
        """
        units = 16 * math.sqrt(n / 250)  # more columns would ask for more, but their density for more rows
        inputs = m + p / 2
        plane = m == 0 and p <= PLANE
        batch = 2 ** int(math.log2(np.clip(n / 4, 1, 256 if m and n < MANY else 512)))
        return cls(
            layers=4 if n < MANY / 16 else 6 if n < MANY else 8,
            hidden=8 * round(float(np.clip(units, 16, 128)) / 8),
            bins=16 if plane else 8,
            members=5 if n < FEW else 3 if n < 10 * FEW else 2 if n < 250 * FEW else 1,
            batch=batch,
            steps=int(np.clip(15 * math.sqrt(n), 1_000, 20_000)),
            rate=0.012 * min(1.0, math.sqrt(10_000 / n)),
            weight_decay=min(2.0, inputs**2 / 8) * min(1.0, math.sqrt(1_000 / n)),
            smoothing=0.15 if m else 0.3 if plane else 0.6,
            mixtures=FEWEST <= n < 10 * FEW,
        )

    def changed(self, **choices: Any) -> Recipe:
        """With what a user has chosen; None for what they have not."""
        return replace(self, **{name: value for name, value in choices.items() if value is not None})
