"""What the parameters of the flows may be; their docstrings say what they mean, and Prefect's form shows both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field

from flows.pipeline import OF_IMAGES, OF_VECTORS


def one_of(names: list[str]) -> Callable[[str], str]:
    """Refuse what is not among some names."""

    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"there is no {value}; dvc.yaml has {', '.join(names)}")
        return value

    return check


_ALL = [*OF_IMAGES, *OF_VECTORS]
Application = Annotated[str, AfterValidator(one_of(_ALL)), Field(json_schema_extra={"enum": [*_ALL]})]
ImageApplication = Annotated[str, AfterValidator(one_of(OF_IMAGES)), Field(json_schema_extra={"enum": [*OF_IMAGES]})]
Deployment = Annotated[str, Field(pattern="^[^/]+/[^/]+$")]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Hours = Annotated[float, Field(gt=0, le=24 * 14)]
Number = Annotated[int, Field(ge=1)]
Parquet = Annotated[str, Field(pattern=r"^(s3://[^/]+/)?[^:]+\.parquet$")]
Share = Annotated[float, Field(ge=0, le=1)]
Source = Annotated[str, Field(pattern="^[^-]")]  # not an option
Text = Annotated[str, Field(min_length=1)]
