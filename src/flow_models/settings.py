"""params.yaml, typed and strict: an unknown or ill-typed key is an error that names it."""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from flow_models.errors import FlowModelsError

LOCAL_CLUSTER = "local"  # of data.cluster: this machine's cores
CLUSTER_VARIABLE = "FLOW_MODELS_CLUSTER"  # of the environment: the scheduler that a flow runs for its stages
Share = Annotated[float, Field(gt=0, lt=1)]
Precision = Literal["auto", "float32", "bfloat16"]
Compilation = Literal["auto", "graph", "xla"]
Reversible = bool | Literal["auto"]


class Section(BaseModel):
    """A part of params.yaml: immutable, no coercion, no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class S3Settings(Section):
    """What boto3's own configuration (AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL, …) does not say."""

    connections: int = Field(32, ge=1, le=256)
    requester_pays: bool = False


class AugmentationSettings(Section):
    """How training images are varied; off by default, for the likelihood is then that of other images."""

    flip: bool = False
    shift: float = Field(0.0, ge=0, le=0.5)
    zoom: float = Field(0.0, ge=0, le=1)
    rotation: float = Field(0.0, ge=0, le=180)


class DataSettings(Section):
    """Where the images come from and the shape that the network sees."""

    source: str = "data"
    s3: S3Settings = S3Settings()
    cache_megabytes: int = Field(4096, ge=0)
    cluster: Annotated[str, Field(pattern=r"^(local|(tcp|tls|ws|wss)://[^/\s]+)$")] | None = None
    inliers: list[str] = []
    height: int = Field(8, ge=2, le=1024)
    width: int = Field(8, ge=2, le=1024)
    channels: Literal[1, 3] = 1
    holdout: Share = 0.1
    shard_megabytes: int = Field(128, ge=1, le=1024)
    augmentation: AugmentationSettings = AugmentationSettings()
    shards: Annotated[str, Field(pattern=r"^s3://[^/\s]+(/.*)?$")] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.height, self.width, self.channels


class ValidationSettings(Section):
    """Bounds on the manifest. A broken one stops the pipeline, unless it is listed in ``warn_only``."""

    min_images_per_class: int = Field(1, ge=1)
    min_side: int = Field(8, ge=1)
    max_side: int = Field(4096, ge=1)
    max_aspect: float = Field(10.0, ge=1)
    max_bytes: int = Field(50_000_000, ge=1)
    max_unreadable: float = Field(0.0, ge=0, lt=1)
    max_blank: float = Field(0.0, ge=0, lt=1)
    max_class_loss: float = Field(0.5, ge=0, lt=1)
    max_shift: float = Field(1.0, gt=0)
    allow_leakage: bool = False
    warn_only: list[str] = ["duplicates", "near_duplicates", "new_classes", "max_shift"]


class SimulationSettings(Section):
    """How much is drawn of a simulator or a point set; a real table has what it has."""

    train: int = Field(20_000, ge=2)
    test: int = Field(2_000, ge=2)
    fresh: bool = False


class GlowSettings(Section):
    """The architecture for images."""

    architecture: Literal["glow"] = "glow"
    levels: int = Field(2, ge=1, le=8)
    steps: int = Field(8, ge=1)
    hidden_channels: int = Field(64, ge=1)
    dense_layers: int = Field(0, ge=0)
    noise_channels: int = Field(0, ge=0)


class VectorSettings(Section):
    """What the architectures for vectors have in common."""

    layers: int = Field(8, ge=2)
    hidden: list[Annotated[int, Field(ge=1)]] = [64, 64]
    residual: bool = False
    context_features: Annotated[int, Field(ge=1)] | None = None
    whiten: bool = False


class RealNVPSettings(VectorSettings):
    """Affine couplings."""

    architecture: Literal["realnvp"]


class SplineSettings(VectorSettings):
    """Rational-quadratic spline couplings."""

    architecture: Literal["spline_coupling"]
    bins: int = Field(8, ge=2)


MODELS: dict[str, type[Section]] = {
    "glow": GlowSettings,
    "realnvp": RealNVPSettings,
    "spline_coupling": SplineSettings,
}


class PartitionSettings(Section):
    """Where what is known beside x goes: into a part y of the latent side, or into the network as its context."""

    conditioning: Literal["parts", "context"] = "context"
    y: Annotated[int, Field(ge=1)] | None = None
    class_weight: float = Field(1.0, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)


class TrainSettings(Section):
    """The loop. Training ends after ``epochs`` or ``minutes``, whichever comes first."""

    epochs: int = Field(100, ge=1)
    minutes: Annotated[float, Field(gt=0)] | None = None
    batch_size: int = Field(64, ge=1)
    optimizer: Literal["adam", "adamw", "muon"] = "adam"
    weight_decay: float = Field(0.0, ge=0)
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(100, ge=0)
    decay: Literal["cosine", "exponential"] = "cosine"
    clip_norm: float = Field(50.0, gt=0)
    averaging: float = Field(0.99, ge=0, lt=1)
    patience: int = Field(20, ge=1)
    checkpoint_minutes: float = Field(1.0, ge=0)
    precision: Precision = "auto"
    compile: Compilation = "auto"
    reversible: Reversible = "auto"
    tensorboard: bool = False

    @model_validator(mode="after")
    def _adam_decays_nothing(self) -> TrainSettings:
        if self.weight_decay and self.optimizer == "adam":
            raise ValueError(f"weight_decay is {self.weight_decay}, which optimizer adam lacks; use adamw or muon")
        return self


class EvaluateSettings(Section):
    """What the report shows beside the measures."""

    batch_size: int = Field(256, ge=1)
    alpha: Share = 0.05
    samples: int = Field(64, ge=1, le=1024)
    temperatures: list[Annotated[float, Field(ge=0)]] = [0.5, 0.7, 1.0]
    posteriors: int = Field(300, ge=20)
    draws: int = Field(200, ge=20)
    references: int = Field(20, ge=1)
    local_pairs: int = Field(1000, ge=0)


class DriftSettings(Section):
    """When data have drifted, or a model has decayed, since it was trained."""

    level: float = Field(0.01, gt=0, lt=1)
    least_distance: float = Field(0.1, ge=0, le=1)
    promised_alarms: Share = 0.05
    images: int = Field(1000, ge=1)


class Bound(Section):
    """What a metric must satisfy: at least ``min``, at most ``max``."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Bound:
        if self.min is None and self.max is None:
            raise ValueError("needs min, max or both")
        return self


class RegisterSettings(Section):
    """The registered model's name, and what a version must satisfy to become champion."""

    name: str = "flow-models"
    gate: dict[str, Bound] = {}
    max_regression: float = Field(0.05, ge=0)
    max_inversion_error: float = Field(2e-3, gt=0)


class Settings(Section):
    """All of params.yaml."""

    application: str = Field("image_anomaly", pattern=r"^[a-z_]\w*(\.\w+)*$")
    seed: int = Field(0, ge=0)
    data: DataSettings = DataSettings()
    validation: ValidationSettings = ValidationSettings()
    simulation: SimulationSettings = SimulationSettings()
    partition: PartitionSettings = PartitionSettings()
    model: Annotated[GlowSettings | RealNVPSettings | SplineSettings, Field(discriminator="architecture")] = (
        GlowSettings()
    )
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    register_: RegisterSettings = Field(RegisterSettings(), alias="register")
    drift: DriftSettings = DriftSettings()

    @field_validator("model", mode="before")
    @classmethod
    def _glow_unless_named(cls, model: Any) -> Any:
        return {"architecture": "glow", **model} if isinstance(model, dict) else model

    @model_validator(mode="after")
    def _every_level_halves(self) -> Settings:
        if not isinstance(self.model, GlowSettings):
            return self
        factor = 2**self.model.levels
        for side in ("height", "width"):
            pixels = getattr(self.data, side)
            if pixels % factor:
                nearest = max(round(pixels / factor), 1) * factor
                raise ValueError(
                    f"data.{side} is {pixels}, which model.levels = {self.model.levels} cannot halve "
                    f"{self.model.levels} times; use a multiple of {factor}, such as {nearest}"
                )
        return self

    @property
    def model_folder(self) -> Path:
        """Where training leaves the model."""
        return Path("models") / self.label

    @property
    def report_folder(self) -> Path:
        """Where evaluation and registration leave what they found."""
        return Path("reports") / self.label

    @property
    def prepared_folder(self) -> Path:
        """Where the application's table of vectors lies."""
        return Path("prepared") / self.label

    @property
    def label(self) -> str:
        """The application without the package that it comes from."""
        return self.application.rsplit(".", 1)[-1]


MANIFEST = Path("prepared/manifest.parquet")
SHARDS = Path("prepared/shards")
VALIDATION_REPORT = Path("reports/validation")
DATA_CACHE = Path(".cache/data")
ACCEPTED = Path("accepted.json")  # what the images were like that passed last: for git, as dvc.lock is


def load_settings(path: Path | str = "params.yaml", *, application: str | None = None) -> Settings:
    """Read and check params.yaml; ``application``, if given, stands instead of its own.

    What ``applications`` says of the application is laid over the sections: key by key, but for ``model`` and the
    gate, which are replaced as a whole.

    Raises:
        FlowModelsError: if the file is missing, is not YAML, or has an unknown or ill-typed key.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FlowModelsError(f"{path}: no such file; run in the project's folder or name it with --params") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FlowModelsError(f"{path}: not YAML ({' '.join(str(error).split())}); correct it") from None
    if not isinstance(content, dict):
        raise FlowModelsError(f"{path}: holds {type(content).__name__}, not a mapping of sections; see README.md")
    try:
        return Settings.model_validate(_of_application(content, application))
    except ValidationError as error:
        raise FlowModelsError("; ".join(f"{path}: {_explain(each)}" for each in error.errors())) from None


def overlaid(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Sections merged, values replaced; a model and a gate are wholes, for their keys belong together."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict) and key not in ("gate", "model")
        merged[key] = overlaid(base[key], value) if both else value
    return merged


def _of_application(content: dict[str, Any], application: str | None) -> dict[str, Any]:
    """The sections as they stand for one application."""
    overlays = content.get("applications") or {}
    sections = {key: value for key, value in content.items() if key != "applications"}
    if application is not None:
        sections["application"] = application
    overlay = overlays.get(sections.get("application")) if isinstance(overlays, dict) else None
    return overlaid(sections, overlay) if isinstance(overlay, dict) else sections


def fingerprint(*sections: Section | str | int) -> str:
    """A short digest of settings, to recognise work done under the same ones."""
    content = [each.model_dump(mode="json") if isinstance(each, Section) else each for each in sections]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _explain(error: Any) -> str:
    """One of pydantic's errors as: the key, what is wrong, what to do."""
    location = [str(part) for part in error["loc"]]
    key = ".".join(part for part in location if part not in MODELS)
    if error["type"] != "extra_forbidden":
        message = error["msg"].removeprefix("Value error, ")
        return f"{key}: {message} (found {error['input']!r})" if key else message
    known = _keys_of(location[:-1])
    close = difflib.get_close_matches(location[-1], known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
    return f"{key}: unknown key; {hint}"


def _keys_of(location: list[str]) -> list[str]:
    """The keys that params.yaml may have at a location."""
    section: type[BaseModel] = Settings
    for part in location:
        if part in MODELS:
            section = MODELS[part]
            continue
        fields = {field.alias or name: field for name, field in section.model_fields.items()}
        annotation = fields[part].annotation if part in fields else None
        candidates = [each for each in (annotation, *get_args(annotation)) if isinstance(each, type)]
        section = next((each for each in candidates if issubclass(each, BaseModel)), section)
    return [field.alias or name for name, field in section.model_fields.items()]
