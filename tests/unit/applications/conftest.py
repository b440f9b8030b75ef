from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flow_models.applications.image_scores import fit_outlier_score
from flow_models.data.manifest import build_manifest
from flow_models.data.shards import write_shards
from flow_models.data.sources import open_source
from flow_models.evaluation.outlier_score import OutlierScore
from flow_models.settings import SHARDS, Settings

SIDE = 4


class Gauss:
    """Stands in for a trained model: every pixel normal around a bright upper left corner."""

    event_shape = (SIDE, SIDE, 1)
    classes = None
    center = np.add.outer(np.arange(SIDE), np.arange(SIDE))[..., None] * -30.0 + 220
    width = 12.0

    def encode(self, x: np.ndarray) -> np.ndarray:
        return ((x - self.center) / self.width).reshape(len(x), -1)

    def decode(self, z: np.ndarray) -> np.ndarray:
        return z.reshape(-1, *self.event_shape) * self.width + self.center

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        z = self.encode(x)
        return -0.5 * (z**2).sum(axis=1) - z.shape[1] * np.log(self.width * np.sqrt(2 * np.pi))

    marginal_log_prob = log_prob
    statistic_names = ("log_prob", "log_det", "z1.mean", "z1.square")

    def statistics(self, x: np.ndarray) -> np.ndarray:
        z = self.encode(x)
        log_det = np.full(len(z), -z.shape[1] * np.log(self.width))
        square = (z**2 - 1).sum(axis=1) / np.sqrt(2 * z.shape[1])
        return np.column_stack([self.log_prob(x), log_det, z.sum(axis=1) / np.sqrt(z.shape[1]), square])

    def sample(self, number: int, *, context: None = None, seed: int = 0, temperature: float = 1.0) -> np.ndarray:
        assert context is None
        return self.decode(temperature * np.random.default_rng(seed).normal(size=(number, SIDE * SIDE)))


@pytest.fixture
def model() -> Gauss:
    return Gauss()


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate(
        {
            "data": {"height": SIDE, "width": SIDE, "holdout": 0.3},
            "model": {"levels": 1},
            "evaluate": {"batch_size": 16, "samples": 4},
        }
    )


@pytest.fixture
def images() -> dict[str, np.ndarray]:
    """By class folder; the shade runs the other way in val/upside, and val/noise has no shade."""
    rng = np.random.default_rng(0)
    shade = np.clip(Gauss.center[..., 0] + rng.normal(size=(90, SIDE, SIDE)) * Gauss.width, 0, 255).astype(np.uint8)
    noise = rng.integers(0, 256, size=(15, SIDE, SIDE)).astype(np.uint8)
    return {
        "train/a": shade[:30],
        "train/b": shade[30:60],
        "val/a": shade[60:65],
        "val/b": shade[65:80],
        "val/upside": shade[80:, ::-1, ::-1],
        "val/noise": noise,
    }


@pytest.fixture
def shards(images: dict[str, np.ndarray], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the prepared shards of the images in it."""
    monkeypatch.chdir(tmp_path)
    for folder, pictures in images.items():
        path = tmp_path / "data" / folder
        path.mkdir(parents=True)
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(path / f"{number:03}.png")
    source = open_source("data")
    write_shards(
        build_manifest(source, progress=False),
        source,
        SHARDS,
        shape=settings.data.shape,
        holdout=settings.data.holdout,
        seed=0,
        inliers=[],
        megabytes=1,
    )
    return tmp_path


@pytest.fixture
def score(settings: Settings, model: Gauss, shards: Path) -> OutlierScore:
    """Fitted to the model, and beside where its weights would be."""
    assert shards.is_dir()
    fit_outlier_score(settings, model).save(settings.model_folder)
    return OutlierScore.load(settings.model_folder)
