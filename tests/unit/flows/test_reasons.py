from __future__ import annotations

from typing import Any

import pytest

from flows.reasons import decide, reasons_text, short

DRIFTED = {"difference": 1.5, "distance": 0.4, "p_value": 1e-5, "adjusted": 3e-5, "drifted": True}
STEADY = {"difference": None, "distance": 0.0, "p_value": 1.0, "adjusted": 1.0, "drifted": False}


def found(*reasons: str, share: float = 0.0, **others: Any) -> dict[str, Any]:
    return {
        "data": "new",
        "champion": {"version": 1, "data": "old"},
        "challenger": {"version": 2, "data": "older"},
        "compared": True,
        "changes": {"share": share},
        "reasons": list(reasons),
        **others,
    }


def test_nothing_new_is_no_reason() -> None:
    decision = decide(found(share=0.01), least_share=0.02, force=False)
    assert not decision.train
    assert decision.reasons == [
        "1.0% of the images are new, gone or changed, 2.0% would be enough, and nothing has drifted"
    ]


@pytest.mark.parametrize(
    ("what", "force", "reasons"),
    [
        (found(share=0.05), False, ["5.0% of the images are new, gone or changed"]),
        (found("brightness has drifted: …"), False, ["brightness has drifted: …"]),
        (found("a", share=0.5), False, ["a", "50.0% of the images are new, gone or changed"]),
        ({"data": "new", "compared": False, "reasons": ["there is no champion"]}, False, ["there is no champion"]),
        (found(), True, ["it was asked for"]),
    ],
    ids=["share", "drift", "both", "no champion", "force"],
)
def test_each_reason_to_train_is_said(what: dict[str, Any], force: bool, reasons: list[str]) -> None:
    decision = decide(what, least_share=0.02, force=force)
    assert decision.train
    assert decision.reasons == reasons


def test_images_that_the_newest_version_was_trained_on_give_no_reason_though_the_gate_refused_it() -> None:
    again = found("brightness has drifted", share=1.0, challenger={"version": 7, "data": "new", "gate": "failed"})
    decision = decide(again, least_share=0.02, force=False)
    assert not decision.train
    assert decision.reasons == ["version 7 was trained on the same images"]
    assert decide(again, least_share=0.02, force=True).train


def test_the_text_has_the_reasons_and_the_statistics() -> None:
    what = found("brightness has drifted", statistics={"brightness": DRIFTED, "width": STEADY})
    text = reasons_text(decide(what, least_share=0.02, force=False), what)
    assert text.startswith("**Trained anew**, because:\n\n- brightness has drifted\n")
    assert "| brightness | +1.50 | 0.400 | 3e-05 | drifted |" in text
    assert "| width |  | 0.000 | 1 |  |" in text


def test_a_name_has_the_first_reason_and_how_many_more() -> None:
    assert short(["brightness has drifted: by +2 standard deviations"]) == "brightness has drifted"
    assert short(["a", "b", "c"]) == "a (and 2 more)"
    assert short(["x" * 100], most=10) == "x" * 9 + "…"
