"""The loop that trains every application, and what it stands on."""

from flow_models.training.examples import TrainingData, batch_of
from flow_models.training.loop import train, train_with
from flow_models.training.progress import Outcome

__all__ = ["Outcome", "TrainingData", "batch_of", "train", "train_with"]
