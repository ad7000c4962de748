"""What docs/labeling-configs.md says does not work fails as it says, or gives what it says."""

from pathlib import Path

import pytest

from backend.errors import LabelingConfigError, PromptError
from backend.label_studio.projects import LABELING_CONFIG, key_point
from backend.labeling_config import parse_labeling_config
from backend.prompt_regions import read_prompts

PAGE = (Path(__file__).parents[2] / "docs" / "labeling-configs.md").read_text()
REPEATER = """<View><Repeater on="$images" indexFlag="{{idx}}">
<Image name="page_{{idx}}" value="$images[{{idx}}].url"/>
<KeyPointLabels name="point_{{idx}}" toName="page_{{idx}}" smart="true"><Label value="Object"/>
</KeyPointLabels>
<BrushLabels name="mask_{{idx}}" toName="page_{{idx}}" smart="false"><Label value="Object"/>
</BrushLabels></Repeater></View>
"""
VIDEO = """<View><Video name="video" value="$video"/>
<Labels name="label" toName="video"><Label value="Object"/></Labels>
<VideoRectangle name="box" toName="video"/></View>
"""


def region(kind, **value):
    common = {"id": "1", "type": kind, "from_name": kind, "to_name": "image"}
    return common | {"value": {"x": 10, "y": 10, kind: ["Object"]} | value}


def test_repeater_connects_and_then_no_click_is_answered():
    config = parse_labeling_config(REPEATER)
    config.require_usable()
    click = key_point((20, 10), (30, 40)) | {"from_name": "point_0", "to_name": "page_0"}
    with pytest.raises(PromptError) as raised:
        read_prompts([click], config)
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
