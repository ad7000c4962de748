import numpy as np
import pytest
from PIL import Image

from mobilesam import SAM, ImageError, PromptError

HEIGHT, WIDTH = 720, 1280


@pytest.fixture(scope="module")
def model():
    return SAM("demo", device="cpu")


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A file of the published example's size."""
    path = tmp_path_factory.mktemp("pictures") / "zidane.jpg"
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    discs = [np.hypot(x - cx, y - 370) < 150 for cx in (400, 900)]
    image = np.full((HEIGHT, WIDTH, 3), 70, np.uint8)
    image[discs[0]] = (200, 60, 60)
    image[discs[1]] = (60, 200, 60)
    Image.fromarray(image).save(path, quality=95)
    return path


@pytest.mark.parametrize(
    ("prompt", "objects"),
    [
        pytest.param({"points": [900, 370], "labels": [1]}, 1, id="one-object-one-click"),
        pytest.param({"points": [900, 370], "labels": 1}, 1, id="label-without-a-list"),
        pytest.param({"points": [[400, 370], [900, 370]], "labels": [1, 1]}, 2, id="two-objects"),
        pytest.param(
            {"points": [[[400, 370], [900, 370]]], "labels": [[1, 1]]},
            1,
            id="one-object-two-clicks",
        ),
        pytest.param(
            {"points": [[[400, 370], [900, 370]]], "labels": [[1, 0]]}, 1, id="in-and-out"
        ),
        pytest.param({"bboxes": [439, 437, 524, 709]}, 1, id="one-box"),
        pytest.param({"bboxes": [[250, 220, 550, 520], [750, 220, 1050, 520]]}, 2, id="two-boxes"),
        pytest.param(
            {"points": [[400, 370], [900, 370]], "bboxes": [[250, 220, 550, 520]] * 2},
            2,
            id="points-with-boxes",
        ),
    ],
)
def test_published_calls_give_one_result_per_object(model, picture, prompt, objects):
    result = model.predict(picture, **prompt)
    assert len(result) == objects
    assert result.masks.shape == (objects, HEIGHT, WIDTH)
    assert result.masks.dtype == bool
    assert result.scores.shape == (objects,)
    assert result.boxes_xyxy.shape == (objects, 4)
    assert [one.masks.shape for one in result] == [(1, HEIGHT, WIDTH)] * objects


def test_two_objects_have_the_masks_of_two_calls(model, picture):
    both = model.predict(picture, points=[[400, 370], [900, 370]], labels=[1, 1])
    for index, point in enumerate([[400, 370], [900, 370]]):
        alone = model.predict(picture, points=point, labels=[1])
        np.testing.assert_array_equal(both.masks[index], alone.masks[0])


def test_results_are_equal_only_to_themselves(model, picture):
    result = model.predict(picture, points=[[400, 370], [900, 370]])
    assert result == result  # noqa: PLR0124 - the comparison itself is tested
    assert result != model.predict(picture, points=[[400, 370], [900, 370]])
    assert result[0] not in result
    assert len({result, result[0]}) == 2


def test_boxes_bound_their_masks(model, picture):
    result = model.predict(picture, points=[[400, 370], [900, 370]])
    for mask, (x0, y0, x1, y1) in zip(result.masks, result.boxes_xyxy.astype(int), strict=True):
        assert mask[y0:y1, x0:x1].sum() == mask.sum() > 0
        assert mask[y0].any()
        assert mask[y1 - 1].any()
        assert mask[:, x0].any()
        assert mask[:, x1 - 1].any()


def test_sources_of_every_kind_give_the_same_masks(model, picture):
    image = Image.open(picture)
    sources = [str(picture), picture, image, np.asarray(image)]
    results = model.predict(sources, points=[900, 370])
    assert len(results) == 4
    for result in results[1:]:
        np.testing.assert_array_equal(result.masks, results[0].masks)


def test_plot_draws_only_where_the_masks_are(model, picture, tmp_path):
    result = model.predict(picture, points=[900, 370])
    drawn = result.plot()
    changed = (drawn != result.image).any(axis=-1)
    assert changed[result.masks[0]].mean() > 0.99
    assert changed.sum() < 1.1 * result.masks[0].sum()
    path = result.save(tmp_path / "out.png")
    np.testing.assert_array_equal(np.asarray(Image.open(path)), drawn)


@pytest.mark.parametrize("name", ["out.foo", "out", "nothing/out.png"])
def test_save_names_the_file_that_it_cannot_write(model, picture, tmp_path, name):
    result = model.predict(picture, points=[900, 370])
    with pytest.raises(ImageError, match=f"cannot write .*{name}"):
        result.save(tmp_path / name)


def test_image_file_is_turned_upright(model, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (90, 60)).save(tmp_path / "a.jpg", exif=exif)
    assert model.predict(tmp_path / "a.jpg", points=[5, 5]).masks.shape == (1, 90, 60)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        pytest.param({}, "nothing to segment", id="nothing"),
        pytest.param({"points": [1, 2, 3]}, "got shape", id="three-numbers"),
        pytest.param({"points": [[1, 2]], "labels": [1, 1]}, "one number per point", id="labels"),
        pytest.param(
            {"points": [[1, 2], [3, 4]], "labels": [[1, 0]]},
            r"one number per point, got shapes \(1, 2\) and \(2, 2\)",
            id="labels-of-one-object-for-two",
        ),
        pytest.param(
            {"bboxes": [1, 2, 3, 4], "labels": [1]}, "one number per point", id="labels-of-a-box"
        ),
        pytest.param({"points": [[1, 2], [3]]}, "points must be an array", id="ragged-points"),
        pytest.param({"points": ["a", "b"]}, "points must be an array", id="text-points"),
        pytest.param(
            {"points": [[1, 2]], "labels": [[1], 2]}, "labels must be an array", id="ragged-labels"
        ),
        pytest.param(
            {"points": [1, 2], "labels": ["in"]}, "labels must be an array", id="text-labels"
        ),
        pytest.param({"bboxes": [[1], [2, 3]]}, "bboxes must be an array", id="ragged-boxes"),
        pytest.param({"bboxes": {"x": 1}}, "bboxes must be an array", id="dict-as-boxes"),
        pytest.param({"bboxes": [1, 2, 3]}, "bboxes must be", id="box-of-three"),
        pytest.param(
            {"points": [[1, 2], [3, 4]], "bboxes": [0, 0, 5, 5]}, "2 objects", id="counts"
        ),
        pytest.param({"points": [1, 2], "labels": [5]}, "1 .on. or 0", id="label-5"),
    ],
)
def test_prompts_that_do_not_fit_are_named(model, picture, prompt, words):
    with pytest.raises(PromptError, match=words):
        model.predict(picture, **prompt)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        pytest.param("nothing.jpg", "no image at nothing.jpg", id="missing"),
        pytest.param(__file__, "cannot be read as an image", id="no-image"),
        pytest.param(np.zeros((4, 4, 3)), "must be uint8", id="float-array"),
        pytest.param(np.zeros((4, 4, 7), np.uint8), "is no image", id="seven-channels"),
    ],
)
def test_sources_that_are_no_image_are_named(model, source, words):
    with pytest.raises(ImageError, match=words):
        model.predict(source, points=[1, 1])
