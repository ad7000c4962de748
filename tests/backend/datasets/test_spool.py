import pytest

from backend.datasets.conversion import UNLABELED, ConvertedImage
from backend.datasets.image_addresses import TaskImage
from backend.datasets.image_files import FoundImage
from backend.datasets.spool import Spool


def filled(spool, names, label="Cat", **more):
    for number, name in enumerate(names, 1):
        image = ConvertedImage(
            TaskImage(number, name), FoundImage((40, 60)), [{"label": label, **more}]
        )
        spool.add(image, name)
    return spool


@pytest.fixture
def spool(tmp_path):
    with Spool(tmp_path) as spool:
        yield spool


def test_spool_gives_back_what_it_was_given_as_often_as_asked(spool):
    filled(spool, ["a.jpg", "ü.jpg"])
    for _ in range(2):
        first, second = spool.read()
        assert first.image == {
            "id": 1,
            "file_name": "a.jpg",
            "width": 60,
            "height": 40,
            "task_id": 1,
        }
        assert second.annotations == [{"label": "Cat"}]
    assert (spool.images, spool.annotations) == (2, 2)


def test_spool_leaves_no_file_behind(tmp_path):
    with Spool(tmp_path) as spool:
        filled(spool, ["a.jpg"])
    assert list(tmp_path.iterdir()) == []


def test_categories_are_in_the_order_of_the_config_and_others_follow(spool):
    for label in ("Zebra", "Ant", "Dog", UNLABELED):
        filled(spool, ["a.jpg"], label)
    names = [category["name"] for category in spool.categories({"Dog": {}, "Cat": {}})]
    assert names == ["Dog", "Cat", "Ant", "Zebra", UNLABELED]


def test_categories_keep_the_ids_that_labels_bring(spool):
    filled(spool, ["a.jpg"], "Dog")
    known = {
        "Cat": {"category": "17", "supercategory": "animal"},
        "Dog": {},
        "Cow": {"category": "1"},
        "Owl": {"category": "17"},
        "Fox": {"category": "red"},
    }
    categories = spool.categories(known)
    assert [(found["name"], found["id"]) for found in categories] == [
        ("Cat", 17),
        ("Dog", 2),
        ("Cow", 1),
        ("Owl", 3),
        ("Fox", 4),
    ]
    assert categories[0]["supercategory"] == "animal"


def test_category_of_a_key_point_says_so(spool):
    filled(spool, ["a.jpg"], "Nose", keypoints=[1, 2, 2])
    [nose] = spool.categories({})
    assert (nose["keypoints"], nose["skeleton"]) == (["Nose"], [])


def test_split_is_exact_and_the_same_every_time(spool, tmp_path):
    names = [f"{number}.jpg" for number in range(50)]
    split = filled(spool, names).split(0.2, seed=3)
    assert (len(split["train"]), len(split["val"])) == (40, 10)
    assert split["train"] | split["val"] == set(range(1, 51))
    with Spool(tmp_path) as again:
        assert filled(again, names).split(0.2, seed=3) == split
        assert again.split(0.2, seed=4) != split


def test_split_changes_little_when_images_are_added(spool, tmp_path):
    names = [f"{number}.jpg" for number in range(50)]
    split = filled(spool, names).split(0.2, seed=0)
    with Spool(tmp_path) as more:
        larger = filled(more, [*names, "new.jpg"]).split(0.2, seed=0)
    assert len(split["val"] - larger["val"]) <= 1


def test_no_split_has_all_images(spool):
    assert filled(spool, ["a.jpg", "b.jpg"]).split(0, seed=0) == {"all": {1, 2}}
