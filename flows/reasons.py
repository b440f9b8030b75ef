"""Is there reason to train anew? From what ``flow-models drift`` found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Decision:
    """Whether to train, and one line a reason for it, or the one against it."""

    train: bool
    reasons: list[str]


def decide(found: Mapping[str, Any], *, least_share: float, force: bool) -> Decision:
    """Train when somebody asks for it, without a champion, on drift or decay, or when enough images are different.

    The newest version was trained on these very images? Then there is none, whatever became of it: to train once more
    would make the same model.

    Args:
        found: the result of ``flow-models drift``.
        least_share: new, removed and changed images, of the champion's, from which on they are a reason.
        force: somebody asks for it.
    """
    if force:
        return Decision(train=True, reasons=["it was asked for"])
    newest = found.get("challenger")
    if newest and newest["data"] == found["data"]:
        return Decision(train=False, reasons=[f"version {newest['version']} was trained on the same images"])
    if not found["compared"]:
        return Decision(train=True, reasons=list(found["reasons"]))
    share = found["changes"]["share"]
    said = f"{share:.1%} of the images are new, gone or changed"
    reasons = [*found["reasons"], *([said] if share >= least_share else [])]
    return Decision(bool(reasons), reasons or [f"{said}, {least_share:.1%} would be enough, and nothing has drifted"])


def reasons_text(decision: Decision, found: Mapping[str, Any]) -> str:
    """Markdown: the decision, its reasons, and the statistics of recent images beside the champion's."""
    lines = ["**Trained anew**, because:" if decision.train else "**Not trained**, because:", ""]
    lines += [f"- {reason}" for reason in decision.reasons]
    if statistics := found.get("statistics"):
        lines += ["", "| statistic | difference (sd) | distance | p, after Holm | |", "|---|---:|---:|---:|---|"]
        lines += [_row(name, shift) for name, shift in statistics.items()]
    return "\n".join(lines)


def short(reasons: Sequence[str], *, most: int = 80) -> str:
    """The first reason, in a run's name."""
    first = reasons[0].split(": ")[0]
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return (first if len(first) <= most else first[: most - 1] + "…") + more


def _row(name: str, shift: Mapping[str, Any]) -> str:
    difference = "" if shift["difference"] is None else f"{shift['difference']:+.2f}"
    drifted = "drifted" if shift["drifted"] else ""
    return f"| {name} | {difference} | {shift['distance']:.3f} | {shift['adjusted']:.2g} | {drifted} |"
