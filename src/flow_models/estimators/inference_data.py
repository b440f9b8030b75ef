"""Posterior samples as ArviZ keeps them, for its plots, summaries and files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flow_models.errors import extra_named

if TYPE_CHECKING:
    from xarray import DataTree

Array = NDArray[np.float64]


def inference_data(
    samples: Array, log_prob: Array, observed: Array, *, parameters: Sequence[str], columns: Sequence[str]
) -> DataTree:
    """ArviZ's tree with the groups ``posterior``, ``sample_stats`` and ``observed_data``.

    The draws are independent: one chain, and ArviZ's ``lp`` is the normalised log-density of the posterior.

    Args:
        samples: ``(num_samples, p)`` at one observation, ``(k, num_samples, p)`` at several.
        log_prob: of the samples, ``(num_samples,)`` or ``(k, num_samples)``.
        observed: ``(..., m)``, ``(k, ..., m)`` of several; what lies between are the elements of a set or a series.
        parameters: names of p variables.
        columns: names of the m observed ones.

    Raises:
        FlowModelsError: if ``arviz-base`` is not installed.
    """
    with extra_named("FlowPosterior.to_inference_data", extra="arviz"):
        from arviz_base import from_dict
    several = ["observation"] * (samples.ndim - len("np"))
    # ArviZ has chain and draw first, what a variable is made of after them.
    draws, densities = np.moveaxis(samples, -2, 0)[None], np.moveaxis(log_prob, -1, 0)[None]
    of_columns = several + ["element"] * (observed.ndim - 1 - len(several))
    tree: DataTree = from_dict(
        {
            "posterior": {name: draws[..., index] for index, name in enumerate(parameters)},
            "sample_stats": {"lp": densities},
            "observed_data": {name: observed[..., index] for index, name in enumerate(columns)},
        },
        dims=dict.fromkeys([*parameters, "lp"], several) | dict.fromkeys(columns, of_columns),
        attrs={"posterior": {"inference_library": "flow_models"}},
    )
    return tree
