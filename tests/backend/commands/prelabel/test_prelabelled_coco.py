"""`prelabel --coco` against a fake Label Studio."""

import json

import pytest
from prelabelling import SIZE_HW, numbers, only_predictions, prelabel

from backend.core.errors import DatasetError


class TestCoco:
    @pytest.fixture
    def coco_file(self, tmp_path):
        """Boxes for the pictures of the tasks 101, 102 and of none."""
        content = {
            "categories": [{"id": 1, "name": "Object"}, {"id": 2, "name": "Zebra"}],
            "images": [
                {"id": n, "file_name": name, "height": SIZE_HW[0], "width": SIZE_HW[1]}
                for n, name in enumerate(["101.png", "deep/102.png", "none.png"])
            ],
            "annotations": [
                {"id": 1, "image_id": 0, "category_id": 1, "bbox": [6, 10, 15, 20]},
                {"id": 2, "image_id": 0, "category_id": 2, "bbox": [30, 10, 15, 20]},
                {"id": 3, "image_id": 1, "category_id": 1, "bbox": [30, 10, 15, 20]},
                {"id": 4, "image_id": 1, "category_id": 1, "bbox": [30, 10, 15, 0]},
                {"id": 5, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1},
            ],
        }
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(content))
        return path

    def test_boxes_go_to_the_tasks_that_show_their_images(
        self, settings, label_studio, predictor, coco_file, capsys
    ):
        report = prelabel(settings, predictor, coco_file=coco_file)
        assert numbers(report) == (2, 2, 0, 2)
        written = only_predictions(label_studio)
        assert sorted(written) == [101, 102]
        assert sorted(box for _, _, box in predictor.prompts) == [
            pytest.approx((6, 10, 21, 30)),
            pytest.approx((30, 10, 45, 30)),
        ]
        shown = capsys.readouterr().err
        assert "annotation 2 of '101.png': the prompt's label 'Zebra' is unknown" in shown
        assert [note.split(" of ")[0] for note in report.notes] == [
            "no control for masks takes the label 'Zebra'",
            (
                "in the COCO file, annotation 4: it has no area: "
                "neither a segmentation nor a bbox with two sides"
            ),
            "1 images",
        ]
        assert "those of no task, such as 'none.png'" in report.notes[2]

    def test_missing_file_is_an_error(self, settings, predictor, tmp_path):
        with pytest.raises(DatasetError, match="cannot read"):
            prelabel(settings, predictor, coco_file=tmp_path / "none.json")
