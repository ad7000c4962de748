"""What docs/labeling-configs.md says does not work fails as it says, or gives what it says."""

from pathlib import Path

import pytest

from backend.core.errors import LabelingConfigError, PromptError
from backend.label_studio.projects import LABELING_CONFIG
from backend.labeling.parse_config import parse_labeling_config
from backend.labeling.read_prompts import read_prompts

PAGE = (Path(__file__).parents[3] / "docs" / "labeling-configs.md").read_text()
REPEATERS = """<View><Repeater on="$images"><Repeater on="$images[{{idx}}]" indexFlag="{{page}}">
<Image name="page_{{page}}" value="$images[{{idx}}][{{page}}]"/></Repeater></Repeater></View>
"""
VIDEO = """<View><Video name="video" value="$video"/>
<Labels name="label" toName="video"><Label value="Object"/></Labels>
<VideoRectangle name="box" toName="video"/></View>
"""


def region(kind, **value):
    common = {"id": "1", "type": kind, "from_name": kind, "to_name": "image"}
    return common | {"value": {"x": 10, "y": 10, kind: ["Object"]} | value}


def test_repeater_in_a_repeater_is_refused_at_setup():
    with pytest.raises(LabelingConfigError) as raised:
        parse_labeling_config(REPEATERS)
    assert f"`{raised.value.reason}`" in PAGE


def test_video_is_refused_at_setup():
    with pytest.raises(LabelingConfigError, match="no Image tag"):
        parse_labeling_config(VIDEO)


@pytest.mark.parametrize("kind", ["ellipselabels", "polygonlabels", "brushlabels"])
def test_other_shapes_are_no_prompts(kind):
    with pytest.raises(PromptError, match="no region of the context is a prompt"):
        read_prompts([region(kind)], parse_labeling_config(LABELING_CONFIG))


def test_plain_rectangle_of_a_smart_control_gets_a_mask_too():
    drawn = region("rectanglelabels", width=20, height=20) | {"from_name": "box"}
    assert len(read_prompts([drawn], parse_labeling_config(LABELING_CONFIG))) == 1
    by_hand = LABELING_CONFIG.replace(
        '<RectangleLabels name="box" toName="image" smart="true">',
        '<RectangleLabels name="box" toName="image" smart="false">',
    )
    with pytest.raises(PromptError):
        read_prompts([drawn], parse_labeling_config(by_hand))
