"""The decoder computes in float32, whatever the encoder does: its bfloat16 costs masks."""

import numpy as np
import pytest

from mobilesam import Predictor
from mobilesam.runtimes import openvino_runtime

CLICK = {"points_xy": [[100.0, 90.0]], "point_labels": [1]}
BOX = {"box_xyxy": [40.0, 40.0, 200.0, 190.0]}


@pytest.fixture
def compiled(monkeypatch):
    """The precision that each graph was compiled for, on a processor that has bfloat16."""
    precisions = []

    class Compiled(openvino_runtime._Compiled):
        def __init__(self, core, graph, precision):
            precisions.append((graph.get_friendly_name(), len(graph.inputs), precision))
            super().__init__(core, graph, "float32")

    monkeypatch.setattr(openvino_runtime, "_native_precision", lambda _core: "bfloat16")
    monkeypatch.setattr(openvino_runtime, "_Compiled", Compiled)
    return precisions


def test_only_the_encoder_is_compiled_for_bfloat16(compiled):
    assert Predictor("demo", device="cpu", runtime="openvino").precision == "bfloat16"
    by_inputs = {inputs: precision for _, inputs, precision in compiled}
    assert by_inputs == {1: "bfloat16", 3: "float32", 2: "float32"}  # encoder, decoder, mask adder


@pytest.mark.parametrize("prompt", [pytest.param(CLICK, id="click"), pytest.param(BOX, id="box")])
def test_logits_are_those_of_float32(demo_predictor, prompt):
    """With the precision that this processor has."""
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    image = np.kron(image, np.ones((10, 10, 1), np.uint8))
    embedding = demo_predictor.embed(image)
    expected = demo_predictor.predict(embedding, **prompt)
    fastest = Predictor("demo", device="cpu", runtime="openvino")
    masks = fastest.predict(embedding, **prompt)
    np.testing.assert_allclose(masks.logits, expected.logits, rtol=0, atol=1e-3)
    np.testing.assert_allclose(masks.scores, expected.scores, rtol=0, atol=1e-4)
    logits = expected.logits[:1]
    refined = fastest.predict(embedding, **prompt, mask_logits=logits, multimask=False)
    expected = demo_predictor.predict(embedding, **prompt, mask_logits=logits, multimask=False)
    np.testing.assert_allclose(refined.logits, expected.logits, rtol=0, atol=1e-3)
