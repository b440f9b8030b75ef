"""One TFP bijector a file. Everywhere: ``forward`` maps latent to data, ``inverse`` maps data to latent."""

from flow_models.bijectors.actnorm import ActNorm
from flow_models.bijectors.chain import Chain
from flow_models.bijectors.coupling import AffineCoupling
from flow_models.bijectors.fused import FusedBijector
from flow_models.bijectors.glow_step import GlowStep
from flow_models.bijectors.invertible_conv import InvertibleConv
from flow_models.bijectors.multiscale import MultiScale
from flow_models.bijectors.repeat import Repeat
from flow_models.bijectors.rescale import Rescale
from flow_models.bijectors.squeeze import Squeeze

__all__ = [
    "ActNorm",
    "AffineCoupling",
    "Chain",
    "FusedBijector",
    "GlowStep",
    "InvertibleConv",
    "MultiScale",
    "Repeat",
    "Rescale",
    "Squeeze",
]
