"""The table of sync states: every state × every happening, and the grammar over any walk through it."""

from __future__ import annotations

import re
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from cloudfs.cloudsync.sync_run import STEPS, Happening, Outcome, Run
from cloudfs.model.enums import SyncState

AGAIN = {Run.PULLING_AGAIN, Run.PUSHING_AGAIN, Run.STOPPING_AGAIN}


def test_every_state_takes_every_happening_that_can_come() -> None:
    impossible = {(Run.IDLE, Happening.PUSH), (Run.IDLE, Happening.END)}
    assert set(STEPS) == set(product(Run, Happening)) - impossible


def test_a_start_is_never_lost() -> None:
    for run in Run:
        after = STEPS[run, Happening.START].run
        assert after in AGAIN or (run is Run.IDLE and after is Run.PULLING)


def test_a_stop_drops_the_rerun_and_says_nothing_itself() -> None:
    for run in Run:
        step = STEPS[run, Happening.STOP]
        assert step.run is (Run.IDLE if run is Run.IDLE else Run.STOPPING)
        assert step.says == ()


def test_the_end_of_a_pass_with_a_rerun_is_no_end_of_the_sync() -> None:
    for run in (Run.PULLING_AGAIN, Run.PUSHING_AGAIN):
        assert STEPS[run, Happening.END].says == (SyncState.DOWNLOADING,)


# D pulls, U uploads, E is an end. A sync is D U? (D U?)* E, and its end is one.
GRAMMAR = re.compile(r"(D(U)?(D(U)?)*E)*(D(U)?(D(U)?)*)?")
LETTERS = {
    SyncState.DOWNLOADING: "D",
    SyncState.UPLOADING: "U",
    SyncState.STOPPED: "E",
    Outcome.OF_THE_PASS: "E",
}


@given(st.lists(st.sampled_from(Happening)))
def test_whatever_happens_the_grammar_holds(happenings: list[Happening]) -> None:
    run, said = Run.IDLE, ""
    for happening in happenings:
        if (run, happening) not in STEPS:
            continue
        step = STEPS[run, happening]
        run = step.run
        said += "".join(LETTERS[says] for says in step.says)
        assert GRAMMAR.fullmatch(said), said
        assert (run is Run.IDLE) == (said[-1:] in ("", "E"))
