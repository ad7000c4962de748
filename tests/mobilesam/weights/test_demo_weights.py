"""The bundled demo weights keep their promise on scenes that they never saw."""

import numpy as np
import pytest

from mobilesam.evaluation.mean_iou import evaluate, held_out_scenes

SCENES = 40


@pytest.fixture(scope="module")
def scores(demo_predictor):
    return evaluate(demo_predictor, held_out_scenes(SCENES))


def test_one_click_inside_an_object_masks_it(scores):
    assert len(scores.click) > 3 * SCENES
    assert np.mean(scores.click) >= 0.78


def test_box_around_an_object_masks_it(scores):
    assert np.mean(scores.box) >= 0.82
    assert np.mean(scores.box) > np.mean(scores.ellipse)


def test_negative_click_takes_away_what_it_is_put_on(scores):
    assert len(scores.taken_away) >= 10
    assert np.mean(scores.taken_away) >= 0.95
    assert np.mean(scores.after) > np.mean(scores.before)
