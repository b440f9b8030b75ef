"""Files of every kind among good ones: each is accepted or in quarantine with its reason, and the rest goes on."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flow_models.data.manifest import read_manifest, write_manifest
from flow_models.data.pipeline import load_split
from flow_models.data.shards import write_shards
from flow_models.data.sources import open_source
from flow_models.settings import ValidationSettings
from flow_models.validation.images import Validation, validate
from flow_models.validation.quarantine import read_quarantine
from tests.unit.data.bad_files import ACCEPTED, KINDS
from tests.unit.data.folders import write_images

OTHERS = {  # what a content alone cannot be
    "dangling.png": "cannot be read (No such file or directory)",
    "pipe.png": "not a regular file",
    "denied.png": "cannot be read (Permission denied)",
}


@dataclass(frozen=True)
class Corpus:
    """The reasons in the quarantine by the files' names, what validation says, and the keys in the shards."""

    reasons: dict[str, str]
    validation: Validation
    packed: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    data = write_images(folder / "data", {"train/good": 3, "val/good": 3, "val/odd": 1})
    odd = data / "val/odd"
    for name, (content, _) in KINDS.items():
        (odd / name).write_bytes(content())
    (odd / "dangling.png").symlink_to("nowhere")
    os.mkfifo(odd / "pipe.png")
    (odd / "denied.png").write_bytes(b"")
    (odd / "denied.png").chmod(0)
    (folder / "linked.png").write_bytes(KINDS["picture.bmp"][0]())
    (odd / "linked.png").symlink_to(folder / "linked.png")

    source = open_source(str(data))
    write_manifest(source, folder / "manifest.parquet", journals=folder / "journals")
    validation = validate(folder / "manifest.parquet", ValidationSettings(), docs=folder / "docs")
    with (folder / "docs/quarantine.csv").open(encoding="utf-8", newline="") as file:
        reasons = {row["key"].removeprefix("val/odd/"): row["reason"] for row in csv.DictReader(file)}
    options = {"shape": (8, 12, 3), "holdout": 0.3, "seed": 0, "inliers": [], "megabytes": 1}
    left_out = read_quarantine(folder / "docs")
    write_shards(read_manifest(folder / "manifest.parquet"), source, folder / "shards", **options, left_out=left_out)
    split = load_split(folder / "shards", "val")
    return Corpus(reasons, validation, dict(zip(split.keys.tolist(), split.images, strict=True)))


@pytest.mark.parametrize("name", KINDS, ids=[name.encode("ascii", "replace").decode() for name in KINDS])
def test_a_file_is_accepted_or_in_quarantine_with_its_reason(corpus: Corpus, name: str) -> None:
    _, reason = KINDS[name]
    if reason == ACCEPTED:
        assert corpus.packed[f"val/odd/{name}"].std() > 0
        assert name not in corpus.reasons
    else:
        assert re.match("|".join(map(re.escape, reason.split("|"))), corpus.reasons[name])
        assert f"val/odd/{name}" not in corpus.packed


def test_an_interlaced_file_is_the_same_picture(corpus: Corpus) -> None:
    with Image.open(io.BytesIO(KINDS["interlaced-with-profile.png"][0]())) as image:
        assert image.info["interlace"] == 1
        assert image.info["icc_profile"]
    np.testing.assert_array_equal(
        corpus.packed["val/odd/interlaced-with-profile.png"], corpus.packed["val/odd/colour.png"]
    )


def test_there_are_many_kinds() -> None:
    assert len(KINDS) + len(OTHERS) >= 60


@pytest.mark.parametrize("name", OTHERS)
def test_what_cannot_be_read_is_in_quarantine(corpus: Corpus, name: str) -> None:
    if name == "denied.png" and os.geteuid() == 0:
        pytest.skip("root may read every file")
    assert corpus.reasons[name] == OTHERS[name]


def test_a_link_out_of_the_tree_is_followed_and_the_good_ones_go_on(corpus: Corpus) -> None:
    assert {"val/odd/linked.png", "val/odd/000.png", "val/good/002.png"} <= set(corpus.packed)


def test_every_line_is_one_line(corpus: Corpus) -> None:
    lines = [*corpus.validation.errors, *corpus.validation.warnings]
    assert lines
    assert not any("\n" in line for line in lines)


OPEN = """
import sys
from pathlib import Path
from flow_models.data.images import open_image
try:
    open_image(Path(sys.argv[1]).read_bytes())
except Exception as error:
    print(error)
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(status["VmHWM"].split()[0])
"""


def test_a_bomb_does_not_explode(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(KINDS["bomb.png"][0]())
    # VmHWM, not ru_maxrss: Linux counts into the latter what the parent held when it forked.
    command = [sys.executable, "-c", OPEN, str(tmp_path / "bomb.png")]
    reason, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert "more than 89478485 pixels" in reason
    assert int(peak) < 1_000_000  # kB; decoded, the bomb has 1.6 GB
