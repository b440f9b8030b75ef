from __future__ import annotations

import os
import re
import signal
import time

from tests.system.project import Project

TRAIN = ("dvc", "repro", "--force", "--single-item", "train@image_anomaly")
CHECKPOINTS = "checkpoints/image_anomaly/*/step-*"
MODEL = "models/image_anomaly/model.json"


def test_a_killed_training_continues_and_ends_with_the_weights_of_one_that_was_not(
    project: Project, copy: Project
) -> None:
    with copy.start(*TRAIN) as training:
        while not any(int(path.name[-9:]) >= 10 for path in copy.folder.glob(CHECKPOINTS)):
            assert training.poll() is None, training.communicate()[0]
            time.sleep(0.01)
        os.killpg(training.pid, signal.SIGKILL)
    assert not (copy.folder / MODEL).exists()

    again = copy.run(*TRAIN)
    resumed = re.search(r"resumed at step (\d+) of (\d+)", again.text)
    assert resumed, again.text
    assert 10 <= int(resumed[1]) < int(resumed[2])
    assert copy.json(MODEL)["sha256"] == project.json(MODEL)["sha256"]
