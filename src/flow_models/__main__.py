"""``flow-models``, and ``python -m flow_models``."""

from __future__ import annotations

import sys

from flow_models.errors import FlowModelsError, extra_named


def main() -> None:
    """Run the command line, which needs the packages of the pipeline."""
    try:
        with extra_named("flow-models"):
            from flow_models import cli
    except FlowModelsError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    cli.main()


if __name__ == "__main__":
    main()
