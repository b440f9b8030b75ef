"""One TFP bijector a file. Everywhere: ``forward`` maps latent to data, ``inverse`` maps data to latent."""

from flow_models.bijectors.actnorm import ActNorm
from flow_models.bijectors.chain import Chain
from flow_models.bijectors.checkerboard import Checkerboard
from flow_models.bijectors.conditional import Conditional
from flow_models.bijectors.coupling import AffineCoupling
from flow_models.bijectors.dequantiser import Dequantiser
from flow_models.bijectors.flatten import Flatten
from flow_models.bijectors.fused import FusedBijector
from flow_models.bijectors.glow_step import GlowStep
from flow_models.bijectors.inverted import Inverted
from flow_models.bijectors.invertible_conv import InvertibleConv
from flow_models.bijectors.multiscale import MultiScale
from flow_models.bijectors.permutation import Permutation
from flow_models.bijectors.repeat import Repeat
from flow_models.bijectors.rescale import Rescale
from flow_models.bijectors.single_index import SingleIndex
from flow_models.bijectors.spline import RationalQuadraticSplineCoupling
from flow_models.bijectors.squeeze import Squeeze
from flow_models.bijectors.standardise import Standardise
from flow_models.bijectors.support import Support
from flow_models.bijectors.whiten import Whiten

__all__ = [
    "ActNorm",
    "AffineCoupling",
    "Chain",
    "Checkerboard",
    "Conditional",
    "Dequantiser",
    "Flatten",
    "FusedBijector",
    "GlowStep",
    "Inverted",
    "InvertibleConv",
    "MultiScale",
    "Permutation",
    "RationalQuadraticSplineCoupling",
    "Repeat",
    "Rescale",
    "SingleIndex",
    "Squeeze",
    "Standardise",
    "Support",
    "Whiten",
]
