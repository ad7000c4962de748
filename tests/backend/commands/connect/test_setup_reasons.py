"""What Label Studio shows of a labeling config that cannot work: the status line's reason phrase.

Label Studio says "it doesn't look like a valid ML backend. Reason: 422 Client Error: <reason> for
url: ...", and nothing of the body.
"""

import pytest
import requests
from fake_ml_project import RunningBackend

IMAGE = '<Image name="image" value="$image"/>'
KEY_POINTS = (
    '<KeyPointLabels name="k" toName="image" smart="true"><Label value="Cat"/></KeyPointLabels>'
)
BRUSH = '<BrushLabels name="b" toName="image"><Label value="Cat"/></BrushLabels>'


@pytest.fixture(scope="module")
def backend():
    with RunningBackend(prefetch_tasks=0).running() as backend:
        yield backend


def set_up(backend, schema):
    body = {"project": "1.1795350403", "schema": schema, "hostname": "", "access_token": ""}
    return requests.post(f"{backend.url}/setup", json=body, timeout=10)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        pytest.param(
            [IMAGE, BRUSH],
            "No smart KeyPointLabels or RectangleLabels in the labeling config",
            id="nothing-prompts",
        ),
        pytest.param(
            [IMAGE, BRUSH, KEY_POINTS.replace("true", "false")],
            "No smart KeyPointLabels or RectangleLabels in the labeling config",
            id="smart-is-off",
        ),
        pytest.param(
            [IMAGE, KEY_POINTS],
            "No control for masks on this image in the labeling config",
            id="nothing-takes-masks",
        ),
        pytest.param(
            [IMAGE, '<Image name="b" value="$b"/>', KEY_POINTS, BRUSH.replace("image", "b")],
            "No control for masks on this image in the labeling config",
            id="masks-on-another-image",
        ),
        pytest.param(
            [IMAGE, KEY_POINTS, BRUSH.replace("Cat", "Dog")],
            "Label 'Cat' unknown to mask control 'b'",
            id="no-label-in-common",
        ),
        pytest.param(
            [IMAGE, KEY_POINTS, '<Brush name="b" toName="image"/>'],
            "Label 'Cat' unknown to mask control 'b'",
            id="mask-control-without-labels",
        ),
        pytest.param(
            ['<Text name="text" value="$text"/>'],
            "No Image tag in the labeling config",
            id="no-image",
        ),
        pytest.param(["<Image"], "Labeling config is not XML", id="not-xml"),
    ],
)
def test_setup_says_in_its_status_line_why_no_click_can_work(backend, tags, reason):
    answer = set_up(backend, f"<View>{''.join(tags)}</View>")
    assert (answer.status_code, answer.reason) == (422, reason)
    with pytest.raises(requests.HTTPError, match=f"^422 Client Error: {reason} for url"):
        answer.raise_for_status()
    assert answer.json()["error"]["remedy"]


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param([KEY_POINTS, BRUSH], id="own-labels"),
        pytest.param(
            [KEY_POINTS, BRUSH.replace("<Label", '<Label value="Dog"/><Label')],
            id="more-labels-than-can-be-clicked",
        ),
        pytest.param(
            [
                KEY_POINTS,
                BRUSH.replace('<Label value="Cat"/>', "")
                .replace("<BrushLabels", "<Brush")
                .replace("</BrushLabels>", "</Brush>"),
                '<Labels name="l" toName="image"><Label value="Cat"/></Labels>',
            ],
            id="masks-labelled-by-another-control",
        ),
        pytest.param(
            [KEY_POINTS, '<BrushLabels name="b" toName="image" value="$labels"/>'],
            id="labels-from-the-task",
        ),
        pytest.param(
            ['<RectangleLabels name="r" toName="image"><Label value="Cat"/></RectangleLabels>'],
            id="boxes-are-tightened",
        ),
    ],
)
def test_setup_takes_a_config_with_which_some_click_can_work(backend, tags):
    answer = set_up(backend, f"<View>{IMAGE}{''.join(tags)}</View>")
    assert answer.status_code == 200
    assert answer.json() == {"model_version": "fake-1"}
