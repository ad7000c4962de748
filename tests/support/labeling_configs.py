"""Labeling configs from a few tags, and what is looked for in them."""

import pytest
from recordings import recording

from backend.core.errors import LabelingConfigError
from backend.labeling.config import MaskControl
from backend.labeling.parse_config import parse_labeling_config

LABELS = '<Label value="Cat"/><Label value="Dog"/>'
IMAGE = '<Image name="image" value="$image"/>'
BROKEN_NAME = '<Image name="a&#10;b" value="$image"/>'
BRUSH_LABELS = f'<BrushLabels name="brush" toName="image">{LABELS}</BrushLabels>'
KEY_POINT_LABELS = (
    f'<KeyPointLabels name="keypoint" toName="image" smart="true">{LABELS}</KeyPointLabels>'
)


def parse(*tags):
    return parse_labeling_config(f"<View>{''.join(tags)}</View>")


def recorded(name):
    return parse_labeling_config(recording(name)["body"]["label_config"])


def smart_names(config):
    return [control.name for control in config.prompt_controls if control.is_smart]


def brush_labels(name="brush", to_name="image", labels=("Cat", "Dog")):
    return MaskControl(name, to_name, "brushlabels", name, labels)


def reason_of(act):
    with pytest.raises(LabelingConfigError) as caught:
        act()
    assert caught.value.remedy
    assert caught.value.reason.isascii()
    return caught.value.reason
