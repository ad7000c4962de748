"""Prompts to regions, as the settings say."""

from contextlib import suppress

import numpy as np
import pytest
from fake_model import FakeMasks
from segmenting import CONFIG, SIZE_HW, box, click, predict

from backend.codecs.brush import decode_brush
from backend.core.errors import LabelingConfigError, PromptError
from backend.images.samples import png_bytes
from backend.segmentation.click_service import ClickService, load_predictor
from backend.settings.settings import Settings
from mobilesam import Masks
from mobilesam.scenes import generate_scene


def test_model_is_loaded_as_the_settings_say():
    settings = Settings(checkpoint="demo", device="cpu", runtime="torch", precision="float32")
    loaded = load_predictor(settings)
    assert (loaded.weights, loaded.runtime, loaded.precision) == ("demo", "torch", "float32")
    assert str(loaded.device) == "cpu"


def test_points_reach_the_model_in_pixels_unrounded(click_service, predictor):
    predict(click_service, click(12.3456, 50), click(25, 75, positive=False))
    assert predictor.answered == [([(24.6912, 50.0), (50.0, 75.0)], [1, 0], None)]


def test_every_rectangle_is_a_region_of_its_own(click_service, predictor):
    prediction = predict(click_service, box(0, 0, 10, 10), box(50, 50, 25, 50))
    assert [prompt[2] for prompt in predictor.prompts] == [(0, 0, 20, 10), (100, 50, 150, 100)]
    assert len(prediction["result"]) == 2
    assert len(predictor.embedded) == 1


def test_unknown_label_is_refused_before_any_image_is_fetched(click_service, files):
    with pytest.raises(LabelingConfigError, match="'D' is unknown to the mask control"):
        predict(click_service, box(0, 0, 10, 10, label="D"))
    assert files.fetched == []


POLYGONS = '<PolygonLabels name="outline" toName="img"><Label value="A"/></PolygonLabels></View>'
WITH_POLYGONS = CONFIG.replace("</View>", POLYGONS)


@pytest.mark.parametrize(
    ("output", "region_type"),
    [("auto", "brushlabels"), ("polygon", "polygonlabels"), ("rectangle", "rectanglelabels")],
)
def test_mask_comes_as_the_output_of_the_settings(predictor, files, output, region_type):
    click_service = ClickService(predictor, Settings(output=output))
    prediction = predict(click_service, click(20, 20), label_config=WITH_POLYGONS)
    assert [region["type"] for region in prediction["result"]] == [region_type]


def test_output_that_the_project_lacks_falls_back_to_the_usual_one(predictor, files):
    click_service = ClickService(predictor, Settings(output="polygon"))
    prediction = predict(click_service, click(20, 20))
    assert [region["type"] for region in prediction["result"]] == ["brushlabels"]


def test_polygons_have_the_tolerance_of_the_settings(predictor, files):
    def points(tolerance_px):
        settings = Settings(output="polygon", polygon_tolerance_px=tolerance_px)
        click_service = ClickService(predictor, settings)
        [region] = predict(click_service, click(50, 50), label_config=WITH_POLYGONS)["result"]
        return len(region["value"]["points"])

    assert points(0) > points(1) > points(4) >= 3


TWO_SQUARES = np.zeros(SIZE_HW, bool)
TWO_SQUARES[10:30, 10:30] = True
TWO_SQUARES[50:60, 100:110] = True
TWO_SQUARES[15, 15] = False


@pytest.mark.parametrize(
    ("settings", "pixels"),
    [
        pytest.param({}, 499, id="off"),
        pytest.param({"min_island_px": 101}, 399, id="islands"),
        pytest.param({"min_hole_px": 2}, 500, id="holes"),
        pytest.param({"keep_clicked_parts": True}, 100, id="clicked"),
    ],
)
def test_mask_is_cleaned_as_the_settings_say(predictor, files, monkeypatch, settings, pixels):
    """The click is on the smaller of two squares; the negative one is on no account kept."""
    masks = FakeMasks(TWO_SQUARES[None], np.array([0.75], np.float32))
    monkeypatch.setattr(predictor, "predict_object", lambda *_, **__: masks)
    prediction = predict(
        ClickService(predictor, Settings(**settings)),
        click(52, 55),
        click(10, 20, positive=False),
    )
    [region] = prediction["result"]
    assert decode_brush(region["value"]["rle"], *SIZE_HW).sum() == pixels


def test_setup_refuses_a_config_that_can_give_no_mask(click_service):
    with pytest.raises(LabelingConfigError, match="prompts"):
        click_service.set_up(
            project="1.0",
            label_config='<View><Image name="i" value="$i"/></View>',
            hostname="http://localhost:8080",
            access_token="t",
        )


def test_earlier_regions_of_a_click_are_never_logged(click_service, caplog):
    caplog.set_level("DEBUG")
    rle = [171] * 5000
    mask = {"id": "m", "type": "brushlabels", "from_name": "mask", "to_name": "img"}
    mask["value"] = {"format": "rle", "rle": rle, "brushlabels": ["A"]}
    task = {"id": 4, "data": {"photo": "/a.jpg"}, "drafts": [{"id": 1, "result": [mask] * 100}]}
    for context in ([click(20, 20), *[mask] * 100], [mask]):  # answered, and refused
        with suppress(PromptError):
            click_service.predict(tasks=[task], project="1.0", label_config=CONFIG, context=context)
    assert "171, 171" not in caplog.text


def test_mask_on_a_gpu_comes_over_as_its_runs(demo_predictor, files, monkeypatch):
    """Played on the CPU, with the arithmetic of a GPU."""
    files.content["scene"] = png_bytes(generate_scene(10_000_000, SIZE_HW).image)

    def mask(settings):
        click_service = ClickService(demo_predictor, settings)
        (region,) = predict(click_service, click(50, 50), photo="scene")["result"]
        return decode_brush(region["value"]["rle"], *SIZE_HW)

    expected = mask(Settings())
    assert expected.any()
    monkeypatch.setattr(Masks, "are_on_gpu", property(lambda _: True))
    monkeypatch.setattr(Masks, "masks", property(lambda _: pytest.fail("pixels were fetched")))
    assert (mask(Settings()) == expected).mean() > 0.99
    with pytest.raises(pytest.fail.Exception):  # cleaning needs them
        mask(Settings(min_hole_px=9))
