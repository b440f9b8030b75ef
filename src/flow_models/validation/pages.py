"""Great Expectations' pages, whose templates are compiled once a process: it would do so for each part of each page."""

from __future__ import annotations

from functools import cache
from typing import Any

from great_expectations.render.view import DefaultJinjaIndexPageView, DefaultJinjaPageView
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket


class Page(DefaultJinjaPageView):
    """Of a suite or a result."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.env.bytecode_cache = _compiled()


class IndexPage(DefaultJinjaIndexPageView):
    """Of all of them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.env.bytecode_cache = _compiled()


class _InMemory(BytecodeCache):
    def __init__(self) -> None:
        self._codes: dict[str, Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get(f"{bucket.key} {bucket.checksum}")

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[f"{bucket.key} {bucket.checksum}"] = bucket.code


@cache
def _compiled() -> _InMemory:
    return _InMemory()
