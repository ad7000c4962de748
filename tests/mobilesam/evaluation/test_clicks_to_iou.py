import numpy as np
import pytest

from mobilesam import ObjectPrompt, predict_refined
from mobilesam.evaluation.clicks_to_iou import (
    METHODS,
    PRODUCT,
    ClickScores,
    click_objects,
    next_click,
    print_table,
)
from mobilesam.evaluation.mean_iou import held_out_scenes
from mobilesam.refining import rounded_logits
from mobilesam.scenes import generate_scene

NOTHING = np.zeros((20, 30), bool)
EVERYWHERE = ~NOTHING


def rectangle(x0, y0, x1, y1):
    mask = NOTHING.copy()
    mask[y0:y1, x0:x1] = True
    return mask


WANTED = rectangle(5, 5, 16, 16)


@pytest.mark.parametrize(
    ("mask", "click"),
    [
        pytest.param(NOTHING, ((10, 10), 1), id="first"),
        pytest.param(WANTED & ~rectangle(5, 5, 10, 10), ((7, 7), 1), id="missed"),
        pytest.param(WANTED | rectangle(20, 5, 27, 12), ((23, 8), 0), id="spilled"),
        # A rim of many pixels is no reason to click; annotators see what is wide.
        pytest.param(
            rectangle(4, 4, 17, 17) & ~rectangle(9, 9, 12, 12), ((10, 10), 1), id="rim-and-hole"
        ),
    ],
)
def test_next_click_is_deepest_inside_the_largest_error(mask, click):
    assert next_click(mask, WANTED, EVERYWHERE) == click


def test_no_click_is_left_where_the_mask_is_right_or_clicked():
    assert next_click(WANTED, WANTED, EVERYWHERE) is None
    one_pixel = rectangle(10, 10, 11, 11)
    assert next_click(WANTED & ~one_pixel, WANTED, ~one_pixel) is None


def test_scores_count_clicks_until_a_mask_is_good():
    scores = ClickScores(
        iou=[[0.5, 0.86, 0.95], [0.9, 0.7, 0.9], [0.1, 0.2, 0.3]],
        obeyed=[[True, True, False], [True], [True, True]],
    )
    assert scores.clicks_to(0.85).tolist() == [2, 1, 3]
    assert scores.clicks_to(0.9).tolist() == [3, 1, 3]
    assert scores.failed(0.85) == pytest.approx(1 / 3)
    assert scores.worse() == pytest.approx(1 / 6)
    assert scores.obeyed_share() == pytest.approx(5 / 6)
    assert scores.mean_iou() == pytest.approx([0.5, 1.76 / 3, 2.15 / 3])


def test_method_of_the_product_is_what_the_product_does(demo_predictor):
    embedding = demo_predictor.embed(generate_scene(10_000_000).image)
    points, labels = ((120.0, 130.0), (60.0, 200.0), (133.0, 128.0)), (1, 0, 1)
    previous = None
    for count in (1, 2, 3):
        prompt = ObjectPrompt(points[:count], labels[:count])
        masks = PRODUCT.answer(demo_predictor, embedding, prompt, previous)
        previous = rounded_logits(masks)
        product = predict_refined(demo_predictor, embedding, prompt)
        np.testing.assert_array_equal(product.logits, masks.logits)


def test_mask_before_each_click_makes_masks_jump_less(openvino_predictor):
    at_once = METHODS[0]
    scores = click_objects(
        openvino_predictor, held_out_scenes(12), objects=40, clicks=6, methods=(at_once, PRODUCT)
    )
    assert len(scores[PRODUCT].iou) == 40
    assert scores[PRODUCT].worse() < scores[at_once].worse()
    assert scores[PRODUCT].mean_iou()[0] == scores[at_once].mean_iou()[0]


def test_table_has_a_line_for_each_method(capsys):
    scores = {
        METHODS[0]: ClickScores([[0.5, 0.7], [0.9, 0.9]], [[True, True], [True, True]]),
        PRODUCT: ClickScores([[0.5, 0.9], [0.9, 0.9]], [[True, False], [True, True]]),
    }
    print_table(scores)
    head, line, first, second = capsys.readouterr().out.splitlines()
    assert head.startswith("| 2 objects, 2 clicks | to 85% | to 90% |")
    assert head.count("|") == line.count("|") == first.count("|") == second.count("|")
    assert first.startswith("| all clicks at once | 1.50 | 1.50 | 50.0% |")
    assert second.startswith(f"| {PRODUCT.name} | 1.50 (+0.00 ± 0.00) | 1.50 (+0.00 ± 0.00) | 0.0%")
