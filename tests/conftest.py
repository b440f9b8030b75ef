"""What holds for all tests."""

import os

from hypothesis import settings

# How long an example takes is the machine's affair.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

if "PYTEST_XDIST_WORKER" in os.environ:
    # The processes share the cores: OpenMP's threads would spin while they wait for one another, half as much again.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
