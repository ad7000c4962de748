"""What cleaning takes from masks and fills in them, and what it leaves alone."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from backend.segmentation.cleaning import Cleaning

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=20))


def drawn(picture):
    return np.array([[pixel == "#" for pixel in row] for row in picture.split()])


def expect(cleaning, mask, expected, clicks=()):
    before = mask.copy()
    np.testing.assert_array_equal(cleaning.apply(mask, clicks), expected)
    np.testing.assert_array_equal(mask, before)


SPECKS = drawn("""
    ##....
    ##..#.
    ......
    ...##.
""")


@pytest.mark.parametrize(
    ("min_island_px", "expected"),
    [
        pytest.param(1, SPECKS, id="every-part-has-a-pixel"),
        pytest.param(2, drawn("##.... ##.... ...... ...##."), id="pixel"),
        pytest.param(3, drawn("##.... ##.... ...... ......"), id="pair"),
        pytest.param(99, drawn("##.... ##.... ...... ......"), id="larger-than-the-largest"),
    ],
)
def test_islands_below_the_size_go_but_never_the_largest(min_island_px, expected):
    expect(Cleaning(min_island_px=min_island_px), SPECKS, expected)


def test_pixel_that_only_touches_a_corner_is_an_island():
    expect(Cleaning(min_island_px=2), drawn("##. ##. ..#"), drawn("##. ##. ..."))


HOLES = drawn("""
    #######
    #.##..#
    #####.#
    ##.####
    .#..###
""")


@pytest.mark.parametrize(
    ("min_hole_px", "expected"),
    [
        pytest.param(1, HOLES, id="every-hole-has-a-pixel"),
        pytest.param(2, drawn("####### ####..# #####.# ##.#### .#..###"), id="pixel"),
        pytest.param(99, drawn("####### ####### ####### ##.#### .#..###"), id="not-at-the-border"),
    ],
)
def test_holes_below_the_size_are_filled(min_hole_px, expected):
    expect(Cleaning(min_hole_px=min_hole_px), HOLES, expected)


def test_hole_that_touches_the_outside_at_a_corner_is_none():
    mask = drawn("#### #.## ##.# ###.")
    expect(Cleaning(min_hole_px=99), mask, mask)


@pytest.mark.parametrize(
    ("clicks", "expected"),
    [
        pytest.param([(4.9, 1.2)], drawn("...... ....#. ...... ......"), id="one"),
        pytest.param([(0, 0), (3.5, 3)], drawn("##.... ##.... ...... ...##."), id="two"),
        pytest.param([(0, 0), (5, 0)], drawn("##.... ##.... ...... ......"), id="one-beside"),
        pytest.param([(5, 0)], SPECKS, id="only-beside"),
        pytest.param([], SPECKS, id="none"),
        pytest.param([(4, 4), (6, 4)], drawn("...... ...... ...... ...##."), id="on-the-border"),
    ],
)
def test_parts_without_a_click_go_if_one_has_one(clicks, expected):
    expect(Cleaning(keep_clicked_parts=True), SPECKS, expected, clicks)


def test_clicked_part_stays_before_larger_islands_are_weighed():
    cleaning = Cleaning(keep_clicked_parts=True, min_island_px=4, min_hole_px=9)
    expect(cleaning, SPECKS, drawn("...... ....#. ...... ......"), [(4, 1)])


@given(MASKS, st.integers(0, 30), st.integers(0, 30))
def test_cleaning_twice_changes_nothing_more(mask, min_island_px, min_hole_px):
    cleaning = Cleaning(min_island_px=min_island_px, min_hole_px=min_hole_px)
    once = cleaning.apply(mask, [])
    assert once.any() == mask.any()
    expect(cleaning, once, once)


def test_cleaning_that_is_off_looks_at_nothing(monkeypatch):
    monkeypatch.setattr(cv2, "connectedComponents", None)
    monkeypatch.setattr(cv2, "connectedComponentsWithStats", None)
    assert Cleaning().apply(SPECKS, [(0, 0)]) is SPECKS
