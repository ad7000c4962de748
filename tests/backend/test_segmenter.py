import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from fake_model import FakeMasks, png

from backend.brush import decode_brush
from backend.embeddings.task_images import BACKGROUND_FETCHES, MAX_WAITING
from backend.errors import (
    BusyError,
    ImageError,
    ImageUndecodableError,
    LabelingConfigError,
    PromptError,
    RequestError,
    RequestTooLargeError,
)
from backend.fetching.images import ImageLoader
from backend.sample_pictures import png_bytes
from backend.segmenter import Segmenter, load_predictor
from backend.settings import Settings
from backend.workers import Urgency
from mobilesam import Masks
from mobilesam.scenes import generate_scene

CONFIG = """
<View>
  <Image name="img" value="$photo"/>
  <KeyPointLabels name="kp" toName="img" smart="true"><Label value="A"/><Label value="B"/>
  </KeyPointLabels>
  <RectangleLabels name="box" toName="img" smart="true"><Label value="A"/><Label value="C"/>
  </RectangleLabels>
  <BrushLabels name="mask" toName="img" smart="false"><Label value="A"/><Label value="B"/>
  </BrushLabels>
</View>
"""
SIZE_HW = (100, 200)
DEADLINE_S = 10


class Files:
    """What is behind each address; counts the fetches, and can be held."""

    def __init__(self):
        self.content = {}
        self.fetched = []
        self.asked = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()

    def fetch(self, uri):
        self.fetched.append(uri)
        self.asked.release()
        assert self.go_on.wait(DEADLINE_S)
        return self.content.get(uri) or png(*SIZE_HW)


@pytest.fixture
def files(monkeypatch):
    files = Files()
    make = ImageLoader.__init__

    def make_with_files(loader, *arguments):
        make(loader, *arguments)
        loader.files = files

    # What an earlier test left to do in the background goes on with that test's files.
    monkeypatch.setattr(ImageLoader, "__init__", make_with_files)
    monkeypatch.setattr(ImageLoader, "fetch", lambda loader, uri, **_named: loader.files.fetch(uri))
    return files


@pytest.fixture
def segmenter(predictor, files):
    return Segmenter(predictor, Settings())


def click(x_pct, y_pct, *, positive=True, label="A"):
    return {
        "id": f"{x_pct}-{y_pct}",
        "type": "keypointlabels",
        "from_name": "kp",
        "to_name": "img",
        "is_positive": positive,
        "value": {"x": x_pct, "y": y_pct, "width": 0.2, "keypointlabels": [label]},
    }


def box(x_pct, y_pct, width_pct, height_pct, *, label="A"):
    value = {"x": x_pct, "y": y_pct, "width": width_pct, "height": height_pct}
    return {
        "id": "box",
        "type": "rectanglelabels",
        "from_name": "box",
        "to_name": "img",
        "value": value | {"rotation": 0, "rectanglelabels": [label]},
    }


def predict(segmenter, *context, task_id=4, photo="/data/upload/1/a.jpg", label_config=CONFIG):
    task = {"id": task_id, "data": {"photo": photo}}
    (prediction,) = segmenter.predict(
        tasks=[task], project="1.0", label_config=label_config, context=list(context)
    )
    return prediction


def test_model_is_loaded_as_the_settings_say():
    settings = Settings(checkpoint="demo", device="cpu", runtime="torch", precision="float32")
    loaded = load_predictor(settings)
    assert (loaded.weights, loaded.runtime, loaded.precision) == ("demo", "torch", "float32")
    assert str(loaded.device) == "cpu"


def test_points_reach_the_model_in_pixels_unrounded(segmenter, predictor):
    predict(segmenter, click(12.3456, 50), click(25, 75, positive=False))
    assert predictor.answered == [([(24.6912, 50.0), (50.0, 75.0)], [1, 0], None)]


def test_every_rectangle_is_a_region_of_its_own(segmenter, predictor):
    prediction = predict(segmenter, box(0, 0, 10, 10), box(50, 50, 25, 50))
    assert [prompt[2] for prompt in predictor.prompts] == [(0, 0, 20, 10), (100, 50, 150, 100)]
    assert len(prediction["result"]) == 2
    assert len(predictor.embedded) == 1


def test_negative_click_alone_refines_the_last_object_of_its_label(segmenter, predictor):
    predict(segmenter, click(20, 20))
    predict(segmenter, click(80, 80, label="B"))
    predict(segmenter, click(25, 20, positive=False))
    assert predictor.prompts[-1] == ([(40, 20), (50, 20)], [1, 0], None)
    # Label Studio sends the pending negative point again with the next one.
    predict(segmenter, click(25, 20, positive=False), click(30, 20, positive=False))
    assert predictor.prompts[-1] == ([(40, 20), (50, 20), (60, 20)], [1, 0, 0], None)
    # One that it does not send again was undone.
    predict(segmenter, click(30, 20, positive=False))
    assert predictor.prompts[-1] == ([(40, 20), (60, 20)], [1, 0], None)


def test_negative_click_alone_refines_a_rectangle_too(segmenter, predictor):
    predict(segmenter, box(0, 0, 50, 50))
    predict(segmenter, click(25, 20, positive=False))
    assert predictor.prompts[-1] == ([(50, 20)], [0], (0, 0, 100, 50))


FIRST, SECOND, OFF = click(20, 20), click(25, 20), click(15, 20, positive=False)
DISC_PX = np.count_nonzero(np.hypot(*np.mgrid[-20:21, -20:21]) < 20)  # of one click's mask


def test_further_click_takes_the_mask_before_it_along(segmenter, predictor):
    predict(segmenter, FIRST)
    predict(segmenter, FIRST, SECOND)
    predict(segmenter, FIRST, SECOND, OFF)
    assert [len(points) for points, *_ in predictor.prompts] == [1, 2, 3]
    assert predictor.previous == [None, DISC_PX, DISC_PX]


def test_negative_click_alone_takes_the_mask_of_the_last_object_along(segmenter, predictor):
    predict(segmenter, FIRST)
    predict(segmenter, OFF)
    assert predictor.previous == [None, DISC_PX]


@pytest.mark.parametrize(
    "context",
    [
        pytest.param([SECOND], id="after-accept"),
        pytest.param([click(20, 20, label="B")], id="another-label"),
        pytest.param([box(0, 0, 50, 50)], id="box"),
        pytest.param([click(21, 20)], id="moved"),
    ],
)
def test_new_object_takes_no_mask_along(segmenter, predictor, context):
    predict(segmenter, FIRST)
    predict(segmenter, *context)
    assert predictor.previous == [None, None]


def test_undone_click_leads_back_to_the_mask_before_it(segmenter, predictor):
    predict(segmenter, FIRST)
    predict(segmenter, FIRST, OFF)
    predict(segmenter, FIRST, SECOND)  # the second was undone
    assert [len(points) for points, *_ in predictor.prompts] == [1, 2, 2]
    assert predictor.previous == [None, DISC_PX, DISC_PX]


def test_deleted_or_moved_click_lets_the_later_ones_be_decoded_anew(segmenter, predictor):
    predict(segmenter, FIRST, OFF, SECOND)
    del predictor.prompts[:], predictor.previous[:]
    predict(segmenter, OFF, SECOND)  # the first positive one says where the object is
    predict(segmenter, click(21, 20), OFF, SECOND)
    assert [len(points) for points, *_ in predictor.prompts] == [2, 1, 2, 3]
    assert predictor.previous[:2] == [None, None]
    assert None not in predictor.previous[2:]


def test_points_refine_the_mask_of_the_rectangle_that_they_lie_in(segmenter, predictor):
    predict(segmenter, box(0, 0, 50, 50))
    predict(segmenter, box(0, 0, 50, 50), FIRST)
    predict(segmenter, box(0, 0, 50, 50), FIRST, OFF)
    assert [len(points) for points, *_ in predictor.prompts] == [0, 0, 1, 2]
    assert predictor.previous == [None, None, 100 * 50, 100 * 50]


def test_two_annotators_on_one_task_do_not_mix(segmenter, predictor):
    predict(segmenter, FIRST)
    predict(segmenter, click(80, 80))
    predict(segmenter, FIRST, OFF)
    predict(segmenter, click(80, 80), click(70, 80))
    assert [len(points) for points, *_ in predictor.prompts] == [1, 1, 2, 2]
    assert None not in predictor.previous[2:]


def test_click_on_another_image_takes_no_mask_along(segmenter, predictor, files):
    files.content["/data/b.png"] = png(*SIZE_HW, color=(1, 2, 3))
    predict(segmenter, FIRST, photo="/data/a.png")
    predict(segmenter, FIRST, SECOND, photo="/data/b.png")
    assert [len(points) for points, *_ in predictor.prompts] == [1, 1, 2]


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param({"task_id": 5}, id="another-task"),
        pytest.param({"label": "B"}, id="another-label"),
    ],
)
def test_negative_click_without_an_object_is_explained(segmenter, elsewhere):
    predict(segmenter, click(20, 20))
    label = elsewhere.pop("label", "A")
    with pytest.raises(PromptError, match="only negative points"):
        predict(segmenter, click(25, 20, positive=False, label=label), **elsewhere)


def test_last_object_is_forgotten_after_a_while(segmenter, monkeypatch):
    monkeypatch.setattr("backend.last_objects.REMEMBERED_FOR_S", 0)
    predict(segmenter, click(20, 20))
    with pytest.raises(PromptError, match="only negative points"):
        predict(segmenter, click(25, 20, positive=False))


def test_unknown_label_is_refused_before_any_image_is_fetched(segmenter, files):
    with pytest.raises(LabelingConfigError, match="'D' is unknown to the mask control"):
        predict(segmenter, box(0, 0, 10, 10, label="D"))
    assert files.fetched == []


POLYGONS = '<PolygonLabels name="outline" toName="img"><Label value="A"/></PolygonLabels></View>'
WITH_POLYGONS = CONFIG.replace("</View>", POLYGONS)


@pytest.mark.parametrize(
    ("output", "region_type"),
    [("auto", "brushlabels"), ("polygon", "polygonlabels"), ("rectangle", "rectanglelabels")],
)
def test_mask_comes_as_the_output_of_the_settings(predictor, files, output, region_type):
    segmenter = Segmenter(predictor, Settings(output=output))
    prediction = predict(segmenter, click(20, 20), label_config=WITH_POLYGONS)
    assert [region["type"] for region in prediction["result"]] == [region_type]


def test_output_that_the_project_lacks_falls_back_to_the_usual_one(predictor, files):
    segmenter = Segmenter(predictor, Settings(output="polygon"))
    prediction = predict(segmenter, click(20, 20))
    assert [region["type"] for region in prediction["result"]] == ["brushlabels"]


def test_polygons_have_the_tolerance_of_the_settings(predictor, files):
    def points(tolerance_px):
        settings = Settings(output="polygon", polygon_tolerance_px=tolerance_px)
        segmenter = Segmenter(predictor, settings)
        [region] = predict(segmenter, click(50, 50), label_config=WITH_POLYGONS)["result"]
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
        Segmenter(predictor, Settings(**settings)),
        click(52, 55),
        click(10, 20, positive=False),
    )
    [region] = prediction["result"]
    assert decode_brush(region["value"]["rle"], *SIZE_HW).sum() == pixels


def test_one_image_in_two_tasks_is_encoded_once(segmenter, predictor):
    predict(segmenter, click(20, 20), task_id=4, photo="/data/upload/1/a.jpg")
    predict(segmenter, click(20, 20), task_id=5, photo="/data/upload/1/copy.jpg")
    assert len(predictor.embedded) == 1


def test_image_is_encoded_again_when_its_embedding_was_dropped(predictor, files, monkeypatch):
    monkeypatch.setattr("backend.segmenter.MEGABYTE", 1500)  # room for one fake embedding
    segmenter = Segmenter(predictor, Settings(cache_mb=1))
    files.content = {"/data/b.jpg": png(*SIZE_HW, color=(1, 2, 3))}
    for photo in ("/data/a.jpg", "/data/b.jpg", "/data/a.jpg"):
        predict(segmenter, click(20, 20), photo=photo)
    assert len(predictor.embedded) == 3


def test_image_that_changed_at_its_address_is_seen_later(segmenter, predictor, files, monkeypatch):
    monkeypatch.setattr("backend.embeddings.task_images.TRUSTED_FOR_S", 0)
    predict(segmenter, click(20, 20))
    files.content["/data/upload/1/a.jpg"] = png(50, 60)
    (region,) = predict(segmenter, click(20, 20))["result"]
    assert (region["original_height"], region["original_width"]) == (50, 60)


def test_fifty_threads_on_one_image_run_one_encode(segmenter, predictor):
    barrier = threading.Barrier(50)

    def ask(_):
        barrier.wait()
        return predict(segmenter, click(20, 20))["result"][0]["value"]

    with ThreadPoolExecutor(50) as pool:
        values = list(pool.map(ask, range(50)))
    assert len(predictor.embedded) == 1
    assert all(value == values[0] for value in values)


def test_clicks_on_one_image_share_its_fetch(segmenter, files):
    files.go_on.clear()
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(predict, segmenter, click(20, 20)) for _ in range(20)]
        assert files.asked.acquire(timeout=DEADLINE_S)
        files.go_on.set()
        assert all(answer.result(DEADLINE_S)["result"] for answer in answers)
    assert len(files.fetched) == 1


def test_click_beyond_those_that_may_wait_is_told_to_come_again(predictor, files):
    """Some threads are always left, for /health and for clicks whose image is there."""
    segmenter = Segmenter(predictor, Settings(threads=4))
    predict(segmenter, click(20, 20), photo="/data/warm.jpg")
    assert files.asked.acquire(timeout=DEADLINE_S)
    files.go_on.clear()
    with ThreadPoolExecutor(3) as pool:
        waiting = [
            pool.submit(predict, segmenter, click(20, 20), photo=f"/data/{number}.jpg")
            for number in range(3)
        ]
        for _ in waiting:
            assert files.asked.acquire(timeout=DEADLINE_S)
        with pytest.raises(BusyError, match="3 clicks wait"):
            predict(segmenter, click(20, 20), photo="/data/4.jpg")
        assert predict(segmenter, click(30, 30), photo="/data/warm.jpg")["result"]
        files.go_on.set()
        assert all(answer.result(DEADLINE_S)["result"] for answer in waiting)
    assert predict(segmenter, click(20, 20), photo="/data/4.jpg")["result"]


def test_opened_task_is_fetched_before_the_rest_of_a_batch(segmenter, files):
    def open_tasks(*photos):
        tasks = [{"id": n, "data": {"photo": photo}} for n, photo in enumerate(photos)]
        segmenter.predict(tasks=tasks, project="1.0", label_config=CONFIG, context=None)

    files.go_on.clear()
    batch = [f"/data/{number}.jpg" for number in range(100)]
    open_tasks(*batch)
    for _ in range(BACKGROUND_FETCHES):
        assert files.asked.acquire(timeout=DEADLINE_S)
    open_tasks("/data/opened.jpg")
    files.go_on.set()
    for _ in range(BACKGROUND_FETCHES):  # they go on at once, in any order
        assert files.asked.acquire(timeout=DEADLINE_S)
    assert "/data/opened.jpg" in files.fetched[: 2 * BACKGROUND_FETCHES]
    while files.asked.acquire(timeout=0.5):
        pass
    # What is beyond the queue was dropped; a few had left it while it was filled.
    most = MAX_WAITING[Urgency.BATCH]
    assert most < len(files.fetched) <= 1 + most + BACKGROUND_FETCHES


def test_opened_tasks_beyond_the_bound_are_dropped_and_clicked_ones_are_not(
    segmenter, files, monkeypatch
):
    monkeypatch.setitem(MAX_WAITING, Urgency.OPENED_TASK, 5)
    files.go_on.clear()
    for number in range(20):
        task = {"id": number, "data": {"photo": f"/data/{number}.jpg"}}
        segmenter.predict(tasks=[task], project="1.0", label_config=CONFIG, context=None)
        if number < BACKGROUND_FETCHES:
            assert files.asked.acquire(timeout=DEADLINE_S)
    files.go_on.set()
    for _ in range(5):
        assert files.asked.acquire(timeout=DEADLINE_S)
    assert predict(segmenter, click(20, 20), photo="/data/19.jpg")["result"]
    assert len(files.fetched) == BACKGROUND_FETCHES + 5 + 1


def test_long_addresses_are_remembered_by_their_hash(segmenter, predictor):
    photo = "data:image/png;base64," + "A" * 100_000
    predict(segmenter, click(20, 20), photo=photo)
    ((_, _, address),) = segmenter._images._addresses._seen
    assert len(address) == 64
    predict(segmenter, click(20, 20), photo=photo)
    assert len(predictor.embedded) == 1


def test_failed_image_is_tried_again(segmenter, files):
    files.content["/data/upload/1/a.jpg"] = b"<html>Please log in</html>"
    with pytest.raises(ImageUndecodableError, match="task 4"):
        predict(segmenter, click(20, 20))
    files.content.clear()
    assert predict(segmenter, click(20, 20))["result"]


def test_task_without_its_image_field_is_explained(segmenter):
    with pytest.raises(ImageError, match="task 4 has no image in 'photo'"):
        segmenter.predict(
            tasks=[{"id": 4, "data": {"image": "/a.jpg"}}],
            project="1.0",
            label_config=CONFIG,
            context=[click(20, 20)],
        )


@pytest.mark.parametrize(
    "tasks",
    [
        pytest.param([], id="no-task"),
        pytest.param([{"id": 1, "data": {}}, {"id": 2, "data": {}}], id="two-tasks"),
        pytest.param([{"id": "1", "data": {}}], id="id-is-text"),
    ],
)
def test_prompts_need_exactly_one_task(segmenter, tasks):
    with pytest.raises(RequestError):
        segmenter.predict(tasks=tasks, project="1.0", label_config=CONFIG, context=[click(20, 20)])


@pytest.mark.parametrize("task_id", [None, "4", 4.0, True], ids=repr)
def test_task_whose_id_is_no_number_is_refused(segmenter, task_id):
    task = {"id": task_id, "data": {"photo": "/a.jpg"}}
    with pytest.raises(RequestError, match="a task's id is of type") as caught:
        segmenter.predict(tasks=[task], project="1", label_config=CONFIG, context=[click(20, 20)])
    assert caught.value.reason == "A task's id is not a number"


def test_tasks_beyond_the_bound_are_refused_and_named(predictor, files):
    segmenter = Segmenter(predictor, Settings(max_tasks=3))
    tasks = [{"id": n, "data": {"photo": f"/data/{n}.jpg"}} for n in range(4)]
    with pytest.raises(RequestTooLargeError, match=r"4 tasks, more than 3.* MOBILESAM_MAX_TASKS"):
        segmenter.predict(tasks=tasks, project="1.0", label_config=CONFIG, context=None)
    assert files.fetched == []
    assert segmenter.predict(tasks=tasks[:3], project="1", label_config=CONFIG, context=None) == []


def test_regions_beyond_the_bound_are_refused_and_named(predictor, files):
    segmenter = Segmenter(predictor, Settings(max_regions=3))
    context = [click(20 + n, 20) for n in range(4)]
    with pytest.raises(RequestTooLargeError, match="MOBILESAM_MAX_REGIONS") as caught:
        predict(segmenter, *context)
    assert caught.value.reason == "Too many regions: 4, at most 3"
    assert files.fetched == []
    assert predict(segmenter, *context[:3])["result"]


def test_many_thousand_tasks_are_legal_by_default(segmenter, files):
    """Retrieve Predictions sends all that are selected; the queue takes the first of them."""
    files.go_on.clear()
    tasks = [{"id": n, "data": {"photo": f"/data/{n}.jpg"}} for n in range(30_000)]
    assert segmenter.predict(tasks=tasks, project="1", label_config=CONFIG, context=None) == []
    files.go_on.set()


def test_clicks_that_may_wait_are_a_setting(predictor, files):
    segmenter = Segmenter(predictor, Settings(max_waiting=1))
    files.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(predict, segmenter, click(20, 20), photo="/data/1.jpg")
        assert files.asked.acquire(timeout=DEADLINE_S)
        with pytest.raises(BusyError, match="1 clicks wait"):
            predict(segmenter, click(20, 20), photo="/data/2.jpg")
        files.go_on.set()
        assert waiting.result(DEADLINE_S)["result"]


def test_setup_refuses_a_config_that_can_give_no_mask(segmenter):
    with pytest.raises(LabelingConfigError, match="prompts"):
        segmenter.set_up(
            project="1.0",
            label_config='<View><Image name="i" value="$i"/></View>',
            hostname="http://localhost:8080",
            access_token="t",
        )


def test_earlier_regions_of_a_click_are_never_logged(segmenter, caplog):
    caplog.set_level("DEBUG")
    rle = [171] * 5000
    mask = {"id": "m", "type": "brushlabels", "from_name": "mask", "to_name": "img"}
    mask["value"] = {"format": "rle", "rle": rle, "brushlabels": ["A"]}
    task = {"id": 4, "data": {"photo": "/a.jpg"}, "drafts": [{"id": 1, "result": [mask] * 100}]}
    for context in ([click(20, 20), *[mask] * 100], [mask]):  # answered, and refused
        with suppress(PromptError):
            segmenter.predict(tasks=[task], project="1.0", label_config=CONFIG, context=context)
    assert "171, 171" not in caplog.text


REPEATER = """<View><Repeater on="$pages" indexFlag="{{idx}}">
<Image name="page_{{idx}}" value="$pages[{{idx}}].url"/>
<KeyPointLabels name="kp_{{idx}}" toName="page_{{idx}}" smart="true"><Label value="A"/>
</KeyPointLabels>
<BrushLabels name="mask_{{idx}}" toName="page_{{idx}}" smart="false"><Label value="A"/>
</BrushLabels></Repeater></View>
"""
PAGES = {"id": 4, "data": {"pages": [{"url": f"/{number}.png"} for number in range(3)]}}


def test_click_on_an_item_of_a_repeater_is_answered_with_its_names(segmenter, files):
    sent = click(20, 20) | {"from_name": "kp_1", "to_name": "page_1"}
    [prediction] = segmenter.predict(
        tasks=[PAGES], project="1.0", label_config=REPEATER, context=[sent]
    )
    [region] = prediction["result"]
    assert (region["from_name"], region["to_name"]) == ("mask_1", "page_1")
    assert files.fetched == ["/1.png"]


def test_task_with_a_repeater_has_the_images_of_its_items_prepared(segmenter, files):
    segmenter.predict(tasks=[PAGES], project="1.0", label_config=REPEATER, context=None)
    for _ in range(3):
        assert files.asked.acquire(timeout=DEADLINE_S)
    assert sorted(files.fetched) == ["/0.png", "/1.png", "/2.png"]


def test_mask_on_a_gpu_comes_over_as_its_runs(demo_predictor, files, monkeypatch):
    """Played on the CPU, with the arithmetic of a GPU."""
    files.content["scene"] = png_bytes(generate_scene(10_000_000, SIZE_HW).image)

    def mask(settings):
        segmenter = Segmenter(demo_predictor, settings)
        (region,) = predict(segmenter, click(50, 50), photo="scene")["result"]
        return decode_brush(region["value"]["rle"], *SIZE_HW)

    expected = mask(Settings())
    assert expected.any()
    monkeypatch.setattr(Masks, "are_on_gpu", property(lambda _: True))
    monkeypatch.setattr(Masks, "masks", property(lambda _: pytest.fail("pixels were fetched")))
    assert (mask(Settings()) == expected).mean() > 0.99
    with pytest.raises(pytest.fail.Exception):  # cleaning needs them
        mask(Settings(min_hole_px=9))
