"""The loop that trains every application, and what it stands on."""

from flow_models.training.loop import Outcome, TrainingData, train, train_with

__all__ = ["Outcome", "TrainingData", "train", "train_with"]
