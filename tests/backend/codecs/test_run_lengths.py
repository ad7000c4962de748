import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from backend.codecs.run_lengths import decode_runs, encode_runs
from backend.core.errors import RunLengthError
from mobilesam.masks import find_runs

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40))


def test_encode_runs_of_a_square_are_those_of_the_docstring():
    mask = np.zeros((4, 4), np.bool_)
    mask[1:3, 1:3] = True
    assert encode_runs(mask) == [5, 2, 2, 2, 5]


@pytest.mark.parametrize(
    ("mask", "runs"),
    [
        pytest.param([[True, False]], [0, 1, 1], id="begins-on"),
        pytest.param([[False, True]], [1, 1], id="ends-on"),
        pytest.param([[True, True]], [0, 2], id="full"),
        pytest.param([[False], [False]], [2], id="empty"),
    ],
)
def test_encode_runs_begins_with_those_that_are_off(mask, runs):
    assert encode_runs(np.array(mask)) == runs


@given(masks)
def test_decode_runs_inverts_encode_runs(mask):
    runs = encode_runs(mask)
    assert all(type(run) is int for run in runs)
    assert np.array_equal(decode_runs(runs, *mask.shape), mask)


@pytest.mark.parametrize(
    "runs",
    [
        pytest.param([5, 2, 2, 2, 4], id="too-few"),
        pytest.param([5, 2, 2, 2, 6], id="too-many"),
        pytest.param([20, -4], id="negative"),
        pytest.param([8.0, 8.0], id="fractions"),
        pytest.param([True, 15], id="booleans"),
        pytest.param(["16"], id="text"),
        pytest.param([[16]], id="nested"),
        pytest.param([2**64 - 1, 17], id="beyond-64-bits"),
        pytest.param([], id="none"),
    ],
)
def test_decode_runs_refuses_what_does_not_fill_the_mask(runs):
    with pytest.raises(RunLengthError) as raised:
        decode_runs(runs, 4, 4)
    assert "4 x 4" in raised.value.message


@given(st.lists(st.integers(-3, 20) | st.none() | st.floats(), max_size=6))
def test_decode_runs_fills_the_mask_or_refuses(runs):
    try:
        mask = decode_runs(runs, 3, 5)
    except RunLengthError:
        return
    assert mask.shape == (3, 5)
    assert mask.sum() == sum(runs[1::2])


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_encode_runs_of_known_runs_are_those_of_the_mask(mask):
    assert encode_runs(find_runs(torch.from_numpy(mask))) == encode_runs(mask)
