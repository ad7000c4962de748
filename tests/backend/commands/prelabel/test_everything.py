"""`prelabel --everything` against a fake Label Studio."""

import pytest
from prelabelling import (
    CONFIG_SHARED,
    annotation,
    numbers,
    only_predictions,
    prelabel,
    rectangle,
)

from backend.images.samples import png_bytes
from mobilesam.scenes import generate_scene


class TestEverything:
    @pytest.fixture
    def scenes(self, label_studio):
        scenes = {}
        for task_id in (101, 102):
            scenes[task_id] = generate_scene(10_000_000 + task_id)
            label_studio.pages[f"/data/upload/7/{task_id}.png"] = png_bytes(scenes[task_id].image)
        label_studio.tasks = {task_id: label_studio.tasks[task_id] for task_id in scenes}
        return scenes

    def test_objects_are_proposed_without_rectangles(
        self, settings, label_studio, demo_predictor, scenes
    ):
        report = prelabel(settings, demo_predictor, everything=True, points_per_side=8)
        assert report.tasks == 2
        assert report.masks >= 2
        for prediction in only_predictions(label_studio).values():
            assert prediction["model_version"].endswith("-prelabel-everything")
            assert {tuple(r["value"]["brushlabels"]) for r in prediction["result"]} == {()}
            assert 0 < prediction["score"] <= 1

    def test_proposals_of_shared_labels_have_none_where_there_are_several(
        self, settings, label_studio, demo_predictor, scenes
    ):
        label_studio.labeling_config = CONFIG_SHARED.format(tag="Brush").replace(
            "</Labels>", '<Label value="Other"/></Labels>'
        )
        report = prelabel(settings, demo_predictor, everything=True, points_per_side=6)
        assert (report.tasks, report.failed) == (2, 0)
        for prediction in only_predictions(label_studio).values():
            assert {result["type"] for result in prediction["result"]} == {"brush"}

    def test_proposals_take_the_label_that_is_given(
        self, settings, label_studio, demo_predictor, scenes
    ):
        prelabel(settings, demo_predictor, everything=True, points_per_side=6, label="Other")
        for prediction in only_predictions(label_studio).values():
            assert {tuple(r["value"]["brushlabels"]) for r in prediction["result"]} == {("Other",)}

    def test_label_that_is_given_comes_before_the_only_one_of_another_control(
        self, settings, label_studio, demo_predictor, scenes
    ):
        label_studio.labeling_config = """\
<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="Object"/></BrushLabels>
  <BitmaskLabels name="bitmask" toName="image"><Label value="Other"/></BitmaskLabels>
</View>
"""
        prelabel(settings, demo_predictor, everything=True, points_per_side=6, label="Other")
        for prediction in only_predictions(label_studio).values():
            assert {tuple(r["value"]["bitmasklabels"]) for r in prediction["result"]} == {
                ("Other",)
            }

    def test_every_page_has_proposals_wherever_the_task_keeps_the_list(
        self, settings, label_studio, demo_predictor, scenes, capsys
    ):
        label_studio.labeling_config = label_studio.labeling_config.replace(
            'value="$image"', 'valueList="$album.pages"'
        )
        pages = [data["image"] for data in label_studio.tasks.values()]
        label_studio.tasks = {101: {"album": {"pages": pages}}}
        prelabel(settings, demo_predictor, everything=True, points_per_side=6)
        results = only_predictions(label_studio)[101]["result"]
        assert {result["item_index"] for result in results} == {0, 1}
        assert "2/2 [" in capsys.readouterr().err

    def test_proposals_stand_beside_masks_of_boxes(
        self, settings, label_studio, demo_predictor, scenes
    ):
        for task_id in scenes:
            label_studio.annotations[task_id] = [
                annotation(rectangle(original_height=256, original_width=256))
            ]
        prelabel(settings, demo_predictor)
        report = prelabel(settings, demo_predictor, everything=True, points_per_side=6)
        assert (report.tasks, report.there) == (2, 0)
        assert all(len(found) == 2 for found in label_studio.predictions.values())
        assert numbers(prelabel(settings, demo_predictor))[:3] == (0, 0, 2)
