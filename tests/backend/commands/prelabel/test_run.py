"""`python -m backend prelabel` against a fake Label Studio."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from fake_model import FakePredictor, png
from prelabelling import (
    CONFIG_SHARED,
    SIZE_HW,
    VERSION,
    annotation,
    numbers,
    only_predictions,
    prelabel,
    rectangle,
)

from backend.codecs.brush import decode_brush
from backend.commands.prelabel.predictions import PredictionWriter
from backend.commands.prelabel.rectangles import Source
from backend.core.errors import LabelingConfigError, LabelStudioError
from backend.images.fetch import ImageLoader
from backend.images.samples import png_bytes
from mobilesam import Masks
from mobilesam.scenes import generate_scene


def test_every_rectangle_becomes_a_mask_with_its_label(settings, label_studio, predictor):
    label_studio.annotations[103] = [annotation(rectangle(label="Other"))]
    before = json.dumps(label_studio.annotations)
    report = prelabel(settings, predictor)
    assert numbers(report) == (7, 13, 0, 0)
    written = only_predictions(label_studio)
    assert sorted(written) == sorted(label_studio.tasks)
    first = written[101]
    assert (first["model_version"], first["score"]) == (VERSION, 0.75)
    region, second = first["result"]
    assert region["id"] != second["id"]
    assert (region["from_name"], region["type"]) == ("mask", "brushlabels")
    assert region["value"]["brushlabels"] == ["Object"]
    mask = decode_brush(region["value"]["rle"], *SIZE_HW)
    expected = np.zeros(SIZE_HW, bool)
    expected[10:30, 6:21] = True
    np.testing.assert_array_equal(mask, expected)
    assert written[103]["result"][0]["value"]["brushlabels"] == ["Other"]
    assert json.dumps(label_studio.annotations) == before


def test_all_boxes_of_an_image_are_decoded_from_one_embedding(settings, predictor):
    prelabel(settings, predictor)
    assert len(predictor.embedded) == 7
    assert len(predictor.prompts) == 14


@pytest.mark.parametrize("everything", [False, True], ids=["boxes", "proposals"])
def test_masks_on_a_gpu_come_over_as_their_runs(
    settings, label_studio, demo_predictor, monkeypatch, everything
):
    """Played on the CPU, with the arithmetic of a GPU."""
    scene = generate_scene(10_000_000, (120, 160))
    for task_id in list(label_studio.tasks)[1:]:
        del label_studio.tasks[task_id]
    [(task_id, task)] = label_studio.tasks.items()
    label_studio.pages[task["image"]] = png_bytes(scene.image)
    label_studio.annotations = {
        task_id: [annotation(rectangle(original_width=160, original_height=120))]
    }

    def masks():
        prelabel(
            settings,
            demo_predictor,
            everything=everything,
            redo=True,
            label="Object",
            points_per_side=6,
        )
        regions = only_predictions(label_studio)[task_id]["result"]
        return [decode_brush(region["value"]["rle"], 120, 160) for region in regions]

    expected = masks()
    assert expected
    monkeypatch.setattr(Masks, "are_on_gpu", property(lambda _: True))
    monkeypatch.setattr(Masks, "masks", property(lambda _: pytest.fail("pixels were fetched")))
    for mask, same in zip(masks(), expected, strict=True):
        assert (mask == same).mean() > 0.99


def test_predictions_are_written_many_at_once(settings, label_studio, predictor):
    prelabel(settings, predictor)
    assert [len(body) for body in label_studio.imports] == [7]


@pytest.mark.parametrize(
    ("bound", "sizes"),
    [
        pytest.param(("TASKS_AT_ONCE", 3), [3, 3, 1], id="tasks"),
        pytest.param(("BYTES_AT_ONCE", 1), [1] * 7, id="bytes"),
        pytest.param(("SECONDS_AT_MOST", -1), [1] * 7, id="seconds"),
    ],
)
def test_predictions_that_wait_are_bounded(
    settings, label_studio, predictor, monkeypatch, bound, sizes
):
    monkeypatch.setattr(f"backend.commands.prelabel.predictions.{bound[0]}", bound[1])
    prelabel(settings, predictor)
    assert [len(body) for body in label_studio.imports] == sizes


def test_tasks_that_were_done_are_left_as_they_are(settings, label_studio, predictor):
    prelabel(settings, predictor)
    first = dict(label_studio.predictions)
    label_studio.tasks[999] = label_studio.tasks[101]
    label_studio.annotations[999] = [annotation(rectangle())]
    label_studio.requests.clear()
    assert numbers(prelabel(settings, predictor)) == (1, 1, 7, 0)
    assert label_studio.fetched() == [101]  # for task 999, which shows the same picture
    assert {**label_studio.predictions} == {**first, 999: label_studio.predictions[999]}


def test_embeddings_are_kept_and_found_again(settings, label_studio, predictor):
    prelabel(settings, predictor)
    later = FakePredictor()
    assert numbers(prelabel(settings, later, redo=True)) == (7, 14, 0, 0)
    assert later.embedded == []


def test_redo_replaces_predictions_in_their_place(settings, label_studio, predictor):
    prelabel(settings, predictor)
    ids = {task_id: one["id"] for task_id, one in only_predictions(label_studio).items()}
    label_studio.annotations[101] = [annotation(rectangle(x_pct=40))]
    label_studio.annotations[102] = []
    report = prelabel(settings, predictor, redo=True)
    assert numbers(report) == (6, 11, 0, 0)
    written = only_predictions(label_studio)
    assert {task_id: one["id"] for task_id, one in written.items()} == {
        task_id: number for task_id, number in ids.items() if task_id != 102
    }
    assert len(written[101]["result"]) == 1


def test_killed_in_the_middle_and_started_again_gives_one_prediction_for_each_task(
    settings, label_studio, predictor, monkeypatch
):
    monkeypatch.setattr("backend.commands.prelabel.predictions.TASKS_AT_ONCE", 2)
    answer = label_studio._import_predictions

    def answer_and_die(predictions):
        result = answer(predictions)
        if len(label_studio.imports) == 2:  # it was carried out, and nobody heard of that
            return 502, {}, b"gone"
        return result

    monkeypatch.setattr(label_studio, "_import_predictions", answer_and_die)
    with pytest.raises(LabelStudioError, match="502"):
        prelabel(settings, predictor)
    monkeypatch.setattr(label_studio, "_import_predictions", answer)
    done = len(only_predictions(label_studio))
    assert 4 <= done < 7
    assert numbers(prelabel(settings, predictor))[2] == done
    assert sorted(only_predictions(label_studio)) == sorted(label_studio.tasks)


def test_second_prediction_of_a_call_that_was_sent_twice_is_taken_away(
    settings, label_studio, predictor
):
    prelabel(settings, predictor)
    first = label_studio.predictions[101][0]
    label_studio.predictions[101].append({**first, "id": 1000})
    prelabel(settings, predictor)
    assert [one["id"] for one in label_studio.predictions[101]] == [1000]


def test_ctrl_c_writes_what_is_ready_and_says_how_to_go_on(
    settings, label_studio, predictor, capsys, monkeypatch
):
    write = PredictionWriter.write
    written = []

    def stop(self, task_id, *arguments):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(task_id)
        return write(self, task_id, *arguments)

    monkeypatch.setattr(PredictionWriter, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        prelabel(settings, predictor)
    assert "stopped; the same command goes on from here" in capsys.readouterr().err
    assert len(only_predictions(label_studio)) == 3
    monkeypatch.setattr(PredictionWriter, "write", write)
    assert numbers(prelabel(settings, predictor)) == (4, 8, 3, 0)


def test_label_that_the_mask_control_lacks_is_told_and_the_rest_is_written(
    settings, label_studio, predictor, capsys
):
    label_studio.annotations[101] = [annotation(rectangle(), rectangle(x_pct=50, label="Zebra"))]
    assert numbers(prelabel(settings, predictor)) == (7, 13, 0, 1)
    shown = capsys.readouterr().err
    assert "task 101: rectangle 'r50': the prompt's label 'Zebra' is unknown" in shown
    assert "1 failed" in shown


def test_label_of_the_command_is_for_boxes_without_one_and_unknown_ones(
    settings, label_studio, predictor
):
    label_studio.annotations[101] = [
        annotation(rectangle(label=None), rectangle(x_pct=40, label="Zebra"), rectangle(x_pct=60))
    ]
    assert numbers(prelabel(settings, predictor, label="Other"))[3] == 0
    regions = only_predictions(label_studio)[101]["result"]
    assert [region["value"]["brushlabels"] for region in regions] == [
        ["Other"],
        ["Other"],
        ["Object"],
    ]


def test_label_that_no_control_has_is_refused_at_the_start(settings, predictor):
    with pytest.raises(LabelingConfigError, match="has the label 'Zebra'"):
        prelabel(settings, predictor, label="Zebra")


def test_masks_below_the_least_score_are_left_out_and_counted(settings, label_studio, predictor):
    report = prelabel(settings, predictor, min_score=0.8)
    assert (report.tasks, report.masks, report.unsure, report.failed) == (0, 0, 14, 0)
    assert only_predictions(label_studio) == {}


def test_image_that_cannot_be_used_is_told_and_tried_again_next_time(
    settings, label_studio, predictor, capsys
):
    page = label_studio.pages.pop("/data/upload/7/105.png")
    label_studio.pages["/data/upload/7/103.png"] = b"<html>"
    assert numbers(prelabel(settings, predictor)) == (5, 10, 0, 2)
    shown = capsys.readouterr().err
    assert "task 103: cannot decode image of task 103" in shown
    assert "2 failed" in shown
    label_studio.pages["/data/upload/7/105.png"] = page
    assert numbers(prelabel(settings, predictor)) == (1, 2, 5, 1)


def test_rectangle_of_an_image_of_another_shape_is_told(settings, label_studio, predictor, capsys):
    label_studio.pages["/data/upload/7/101.png"] = png(60, 40)
    assert numbers(prelabel(settings, predictor)) == (6, 12, 0, 2)
    assert "was drawn on an image 1.50 times as wide as high" in capsys.readouterr().err


def test_task_that_was_deleted_meanwhile_keeps_no_other_from_being_written(
    settings, label_studio, predictor, capsys
):
    embed = predictor.embed

    def embed_and_delete(image):
        label_studio.tasks.pop(104, None)
        return embed(image)

    predictor.embed = embed_and_delete
    assert numbers(prelabel(settings, predictor))[::3] == (6, 1)
    assert sorted(only_predictions(label_studio)) == [101, 102, 103, 105, 106, 107]
    assert "task 104:" in capsys.readouterr().err


def test_prediction_that_was_deleted_meanwhile_does_not_end_the_run(
    settings, label_studio, predictor
):
    prelabel(settings, predictor)
    label_studio.annotations[103] = []  # so that its prediction is to go
    embed = predictor.embed

    def embed_and_delete(image):
        label_studio.predictions.pop(103, None)
        return embed(image)

    predictor.embed = embed_and_delete
    for task_id in label_studio.tasks:
        label_studio.pages[f"/data/upload/7/{task_id}.png"] = png(*SIZE_HW, color=(0, 0, task_id))
    assert numbers(prelabel(settings, predictor, redo=True)) == (6, 12, 0, 0)
    assert 103 not in only_predictions(label_studio)


def test_prediction_that_label_studio_drops_unsaid_is_counted(
    settings, label_studio, predictor, capsys, monkeypatch
):
    monkeypatch.setattr("backend.commands.prelabel.task_masks.as_imported", lambda regions: regions)
    label_studio.labeling_config = CONFIG_SHARED.format(tag="Brush")
    assert numbers(prelabel(settings, predictor))[::3] == (0, 7)
    assert "task 101: Label Studio did not take its prediction" in capsys.readouterr().err


def test_masks_that_label_studio_refused_are_not_counted_and_their_tasks_named(
    settings, label_studio, predictor, capsys, monkeypatch
):
    take = label_studio._import_predictions

    def drop_one(predictions):
        kept = [one for one in predictions if one["task"] != 103]
        status, headers, _ = take(kept)
        return status, headers, json.dumps({"created": len(kept)}).encode()

    monkeypatch.setattr(label_studio, "_import_predictions", drop_one)
    assert numbers(prelabel(settings, predictor)) == (6, 12, 0, 1)
    shown = capsys.readouterr().err
    assert "task 103: Label Studio did not take its prediction" in shown
    assert "task 104:" not in shown


def test_label_that_many_boxes_have_is_told_once_with_the_remedy(
    settings, label_studio, predictor, capsys
):
    for task_id in label_studio.tasks:
        boxes = [rectangle(x_pct=x, label="Zebra") for x in (0, 30, 60)]
        label_studio.annotations[task_id] = [annotation(*boxes)]
    report = prelabel(settings, predictor)
    assert numbers(report) == (0, 0, 0, 21)
    assert capsys.readouterr().err.count("'Zebra' is unknown") == 1
    [note] = report.notes
    assert "'Zebra' of 21 boxes: give --label" in note


def test_task_whose_second_page_failed_is_made_whole_next_time(settings, label_studio, predictor):
    label_studio.labeling_config = label_studio.labeling_config.replace(
        'value="$image"', 'valueList="$image"'
    )
    uris = ["/data/upload/7/101.png", "/data/upload/7/102.png"]
    label_studio.tasks = {101: {"image": uris}}
    label_studio.annotations[101] = [
        annotation({**rectangle(), "item_index": 0}, {**rectangle(x_pct=50), "item_index": 1})
    ]
    page = label_studio.pages.pop(uris[1])
    assert numbers(prelabel(settings, predictor)) == (1, 1, 0, 1)
    label_studio.pages[uris[1]] = page
    assert numbers(prelabel(settings, predictor)) == (1, 2, 0, 0)
    regions = only_predictions(label_studio)[101]["result"]
    assert {region["item_index"] for region in regions} == {0, 1}
    assert numbers(prelabel(settings, predictor)) == (0, 0, 1, 0)


@pytest.mark.parametrize("tag", ["Brush", "Bitmask", "Polygon"])
def test_masks_of_controls_with_shared_labels_are_taken(settings, label_studio, predictor, tag):
    label_studio.labeling_config = CONFIG_SHARED.format(tag=tag)
    assert numbers(prelabel(settings, predictor)) == (7, 14, 0, 0)
    shape, label = only_predictions(label_studio)[101]["result"][:2]
    assert shape["id"] == label["id"]
    assert label["value"] == {**shape["value"], "labels": ["Object"]}


def test_rectangle_control_alone_takes_no_masks(settings, label_studio, predictor):
    label_studio.labeling_config = """<View><Image name="image" value="$image"/>
      <RectangleLabels name="box" toName="image"><Label value="Object"/></RectangleLabels></View>"""
    with pytest.raises(LabelingConfigError, match="no control that takes masks"):
        prelabel(settings, predictor)
    tight = replace(settings, output="rectangle")
    assert numbers(prelabel(tight, predictor)) == (7, 14, 0, 0)
    assert numbers(prelabel(tight, predictor, source=Source.AUTO)) == (0, 0, 7, 0)


def test_rectangles_of_a_detectors_predictions_become_masks(settings, label_studio, predictor):
    label_studio.annotations.clear()
    label_studio.predictions[101] = [
        {"id": 50, "model_version": "yolo", "result": [rectangle(label="Other")]}
    ]
    report = prelabel(settings, predictor)
    assert numbers(report) == (1, 1, 0, 0)
    assert report.empty == 6
    detector, ours = label_studio.predictions[101]
    assert detector["id"] == 50
    assert ours["result"][0]["value"]["brushlabels"] == ["Other"]
    assert numbers(prelabel(settings, predictor, source=Source.ANNOTATIONS, redo=True))[0] == 0


def test_workers_make_masks_of_several_tasks_at_once(settings, label_studio, predictor):
    together = threading.Barrier(3, timeout=10)
    decode = predictor.predict_object

    def decode_together(*arguments, **more):
        together.wait()
        return decode(*arguments, **more)

    predictor.predict_object = decode_together
    for task_id in (101, 102, 103, 104, 105, 106):
        label_studio.annotations[task_id] = [annotation(rectangle())]
    label_studio.annotations[107] = []
    assert numbers(prelabel(settings, predictor, workers=3)) == (6, 6, 0, 0)


def test_workers_wait_for_images_together_whatever_the_service_allows(
    settings, label_studio, predictor, monkeypatch
):
    together = threading.Barrier(2, timeout=10)
    fetch = ImageLoader.fetch

    def fetch_together(*arguments, **more):
        together.wait()
        return fetch(*arguments, **more)

    monkeypatch.setattr(ImageLoader, "fetch", fetch_together)
    label_studio.annotations[107] = []
    report = prelabel(replace(settings, max_waiting=1), predictor, workers=2)
    assert numbers(report) == (6, 12, 0, 0)


def test_progress_shows_rate_masks_failures_and_time_left(settings, predictor, capsys):
    prelabel(settings, predictor)
    last = capsys.readouterr().err.rstrip().rpartition("\r")[2]
    assert "7/7 [" in last
    assert "<" in last
    assert "images/s" in last or "s/ images" in last
    assert "14 masks, 0 tasks done before, 0 failed" in last


@pytest.mark.parametrize("show", [False, True])
def test_annotators_see_predictions_where_that_is_asked_for(
    settings, label_studio, predictor, show
):
    label_studio.settings = {"model_version": "MobileSAM", "show_collab_predictions": True}
    report = prelabel(settings, predictor, show=show)
    assert report.shown_before == "MobileSAM"
    assert label_studio.settings["model_version"] == (VERSION if show else "MobileSAM")


def test_repeater_is_refused_since_label_studio_would_drop_what_comes(
    settings, label_studio, predictor
):
    label_studio.labeling_config = """<View><Repeater on="$pages">
      <Image name="page_{{idx}}" value="$pages[{{idx}}]"/>
      <BrushLabels name="mask_{{idx}}" toName="page_{{idx}}"><Label value="Object"/></BrushLabels>
      </Repeater></View>"""
    with pytest.raises(LabelingConfigError, match="takes no predictions for what a Repeater"):
        prelabel(settings, predictor)
    assert label_studio.imports == []
