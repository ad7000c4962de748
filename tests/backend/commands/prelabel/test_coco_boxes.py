import pytest

from backend.commands.prelabel.coco_boxes import CocoBoxes, coco_prompts
from backend.core.errors import DatasetError
from backend.datasets.coco_reader import CocoAnnotation, CocoFile, CocoImage
from backend.datasets.image_addresses import TaskImage

SIZE_HW = (100, 200)


def boxes(*names):
    return CocoBoxes(CocoFile([], [CocoImage(name, SIZE_HW, None) for name in names], []))


def found(coco, uri, file_name=None):
    image = coco.find(TaskImage(1, uri, file_name=file_name))
    return None if image is None else image.file_name


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        pytest.param("http://host/x/val/1.jpg?sig=a", "val/1.jpg", id="url-with-folders"),
        pytest.param("s3://bucket/train/1.jpg", "train/1.jpg", id="cloud"),
        pytest.param("/data/local-files/?d=set/val/1.jpg", "val/1.jpg", id="local-file"),
        pytest.param("/data/upload/7/0123abcd-2.jpg", "val/2.jpg", id="upload-without-folders"),
        pytest.param("http://host/a%20b.jpg", "a b.jpg", id="escaped"),
        pytest.param("http://host/3.jpg", None, id="not-there"),
    ],
)
def test_image_of_a_task_is_found_by_its_name(uri, expected):
    coco = boxes("val/1.jpg", "train/1.jpg", "val/2.jpg", "a b.jpg")
    assert found(coco, uri) == expected


def test_name_that_an_image_was_imported_with_comes_first():
    coco = boxes("val/1.jpg", "train/1.jpg")
    assert found(coco, "/data/upload/7/0123abcd-1.jpg", "train/1.jpg") == "train/1.jpg"


def test_name_without_folders_that_several_images_have_is_told():
    with pytest.raises(DatasetError, match="as several images of the COCO file are"):
        found(boxes("val/1.jpg", "train/1.jpg"), "http://host/1.jpg")


def test_images_that_no_task_shows_are_known():
    coco = boxes("1.jpg", "2.jpg")
    found(coco, "http://host/2.jpg")
    assert coco.unfound == ["1.jpg"]


def test_each_box_is_a_prompt_and_crowds_are_not():
    def annotation(number, bbox, *, is_crowd=False):
        return CocoAnnotation(number, "Cat", bbox, [], None, is_crowd, None)

    image = CocoImage(
        "1.jpg",
        SIZE_HW,
        None,
        [
            annotation(1, (20.0, 10.0, 50.0, 30.0)),
            annotation(2, (0.0, 0.0, 9.0, 9.0), is_crowd=True),
            annotation(3, (0.0, 0.0, 0.0, 9.0)),
        ],
    )
    prompt, fault = coco_prompts(image, "image", 1, max_pixels=10**8)
    assert (prompt.to_name, prompt.item_index, prompt.labels) == ("image", 1, ("Cat",))
    assert prompt.box_xyxy_px(SIZE_HW) == pytest.approx((20, 10, 70, 40))
    assert prompt.box_xyxy_px((200, 400)) == pytest.approx((40, 20, 140, 80))
    assert "annotation 3 of '1.jpg' has a box without an area" in str(fault)


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        pytest.param("IMG 0042 (1).jpg", "/data/upload/1/12345678-IMG_0042_1.jpg", id="django"),
        pytest.param("set2\\a.jpg", "/data/local-files/?d=set2/a.jpg", id="windows-file"),
        pytest.param("set2/a.jpg", "/data/local-files/?d=set2%5Ca.jpg", id="windows-task"),
        pytest.param("set2/my #2.jpg", "s3://bucket/x/set2/my #2.jpg", id="key"),
        pytest.param("set2/100%25.jpg", "s3://bucket/set2/100%25.jpg", id="percent-in-a-key"),
    ],
)
def test_the_longest_end_of_an_address_counts(name, uri):
    images = [CocoImage(one, SIZE_HW, None) for one in ("set1/a.jpg", "a.jpg", name)]
    found = CocoBoxes(CocoFile([], images, [])).find(TaskImage(1, uri))
    assert found is not None
    assert found.file_name == name


def test_two_images_of_one_name_are_told_instead_of_one_lost():
    images = [CocoImage("a.jpg", SIZE_HW, None), CocoImage("a.jpg", (1, 1), None)]
    with pytest.raises(DatasetError, match="several images"):
        CocoBoxes(CocoFile([], images, [])).find(TaskImage(1, "http://h/a.jpg"))
