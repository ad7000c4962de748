"""Rectangles of a fake project's tasks, and runs of `prelabel` on them."""

from backend.commands.prelabel.run import PrelabelOptions, run_prelabel

VERSION = "fake-1-prelabel-boxes"
SIZE_HW = (40, 60)  # of the fake project's pictures
CONFIG_SHARED = """\
<View>
  <Image name="image" value="$image"/>
  <Labels name="label" toName="image"><Label value="Object"/></Labels>
  <Rectangle name="box" toName="image"/>
  <{tag} name="mask" toName="image"/>
</View>
"""


def rectangle(*, x_pct=10, label="Object", **more):
    """A rectangle of 15 x 20 pixels."""
    return {
        "id": f"r{x_pct}",
        "type": "rectanglelabels",
        "from_name": "box",
        "to_name": "image",
        "original_height": SIZE_HW[0],
        "original_width": SIZE_HW[1],
        "image_rotation": 0,
        "value": {"x": x_pct, "y": 25, "width": 25, "height": 50, "rotation": 0}
        | ({"rectanglelabels": [label]} if label else {}),
        **more,
    }


def annotation(*results, **more):
    return {"id": 5, "result": list(results), "updated_at": "2026-11-25T01:00:00Z", **more}


def prelabel(settings, predictor, **options):
    options = PrelabelOptions(**({"project_id": 7, "workers": 2} | options))
    return run_prelabel(options, settings, predictor=predictor)


def numbers(report):
    return report.tasks, report.masks, report.there, report.failed


def only_predictions(label_studio):
    """Task id -> its prediction; each has exactly one."""
    assert all(len(found) <= 1 for found in label_studio.predictions.values())
    return {task_id: found[0] for task_id, found in label_studio.predictions.items() if found}
