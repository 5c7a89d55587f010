# SPDX-License-Identifier: BSD-3-Clause
"""Random histories of a device's life, told to the back-end and to a reference model (life_model.py)."""

import os
import random

import pytest

from conftest import backend_program
from life_hostile import BAD_VERBS
from life_verbs import VERBS, WEIGHTS, ResetOwner
from life_walk import World, draw_history, report, shrink, tell

LENGTH = 120


@pytest.fixture
def world(folder):
    made = World(backend_program(), folder)
    yield made
    code = made.close()
    assert code == 0, made.back.explain("did not end well")


def seeds(count: int) -> list[int]:
    """One that the environment names, or new ones each time."""
    named = os.environ.get("VHOSTX_SEED")
    return [int(named)] if named else random.SystemRandom().sample(range(1 << 32), count)


def must_hold(world: World, count: int, **kinds) -> None:
    nr_taken = nr_moved = 0
    for seed in seeds(count):
        taken, error = tell(world, draw_history(seed, LENGTH, **kinds))
        if error:
            pytest.fail(report(seed, *shrink(world, taken, error)), pytrace=False)
        nr_taken += len(taken)
        nr_moved += world.nr_moved
    assert nr_moved > nr_taken // 10, "hardly any packets moved: this tests nothing"


@pytest.mark.soak(150, 20000)
@pytest.mark.limit(3600)
def test_any_legal_history(world, rounds):
    must_hold(world, rounds)


@pytest.mark.soak(80, 10000)
@pytest.mark.limit(3600)
def test_history_with_lies_in_it(world, rounds):
    """A front-end that says what it must not: it is refused or dropped, and all else is as if it had not."""
    must_hold(world, rounds, verbs=VERBS + BAD_VERBS, weights=[2 * weight for weight in WEIGHTS] + [1] * len(BAD_VERBS))


def test_a_difference_is_found_and_shrunk(world, monkeypatch):
    """A model that is wrong about one message: the history that is left is little more than that message."""
    monkeypatch.setattr(ResetOwner, "note", lambda _model: None)
    failed = (tell(world, draw_history(seed, LENGTH)) for seed in range(20))
    taken, error = next((taken, error) for taken, error in failed if error)
    steps, error = shrink(world, taken, error)
    said = report(1, steps, error)
    assert len(steps) <= 5 and ResetOwner in [step.verb for step in steps], said
    assert "RESET_OWNER" in said and "enabled" in said
