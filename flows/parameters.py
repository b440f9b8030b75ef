"""What the parameters of the flows may be; their docstrings say what they mean, and Prefect's form shows both."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Application = Annotated[str, Field(pattern=r"^[a-z_]\w*(\.\w+)*$")]
Deployment = Annotated[str, Field(pattern="^[^/]+/[^/]+$")]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Hours = Annotated[float, Field(gt=0, le=24 * 14)]
Number = Annotated[int, Field(ge=1)]
Parquet = Annotated[str, Field(pattern=r"^(s3://[^/]+/)?[^:]+\.parquet$")]
Share = Annotated[float, Field(ge=0, le=1)]
Source = Annotated[str, Field(pattern="^[^-]")]  # not an option
Text = Annotated[str, Field(min_length=1)]
