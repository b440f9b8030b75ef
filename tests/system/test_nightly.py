"""The nights that ``make nightly`` tells, checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.servers import skip_without_postgresql
from tests.system.nightly import tell
from tests.system.project import Project
from tests.system.site import Site, second_worker, started_stack


@pytest.mark.story
@pytest.mark.timeout(2400)  # four nights, on a machine that is busy with other things
def test_new_images_are_promoted_and_neither_poison_nor_noise_changes_the_champion(tmp_path: Path) -> None:
    skip_without_postgresql()
    project = Project.create(tmp_path / "project")
    with started_stack() as stack, second_worker(stack):
        story = tell(Site(stack, project), print)
    first, second, third, fourth = story["runs"]

    assert first.state.message.startswith("trained: there is no champion; flow-models: version 1 is champion")
    assert second.state.is_completed()
    assert second.auto_scheduled
    assert "of the images are new" in second.name
    assert story["good"]["champion"] == 2

    assert third.state.is_failed()
    assert "validate:" in third.state.message
    assert "blank" in third.state.message

    assert fourth.state.is_completed(), fourth.state.message
    assert "drifted" in fourth.name
    assert (story["end"]["challenger"], story["end"]["champion"]) == (3, 2)
    verdict, reasons = story["gate"]
    assert verdict == "failed"
    assert any(reason.startswith("failed: bits_per_dim") for reason in reasons)
    assert story["champions"] == {2}
