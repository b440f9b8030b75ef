"""What a single bad file raises."""

from __future__ import annotations


class UnreadableError(Exception):
    """One file, not its whole source, cannot be read or is not an image.

    The message is the reason alone, such as ``truncated image``: whoever catches it knows the file.
    """
