"""``python -m flow_models``: the same as ``flow-models``."""

from flow_models.cli import main

if __name__ == "__main__":
    main()
