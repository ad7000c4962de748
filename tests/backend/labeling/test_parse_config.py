import pytest
from labeling_configs import BRUSH_LABELS, IMAGE, KEY_POINT_LABELS, parse, reason_of, recorded

from backend.labeling.parse_config import parse_labeling_config


def test_parsed_config_is_kept():
    assert recorded("kp_1_positive") is recorded("rect_1")


def test_long_configs_are_kept_too_but_fewer():
    long = [f"<View>{IMAGE}<!--{n}{'-x' * 50_000}--></View>" for n in range(5)]
    parsed = [parse_labeling_config(xml) for xml in long]
    assert parse_labeling_config(long[4]) is parsed[4]
    assert parse_labeling_config(long[0]) is not parsed[0]


@pytest.mark.parametrize(
    "xml",
    [
        pytest.param("", id="empty"),
        pytest.param("Cat, Dog", id="text"),
        pytest.param("<View><Image</View>", id="cut off"),
        pytest.param("<View>\0</View>", id="NUL"),
        pytest.param("<View>" * 2000 + "</View>" * 2000, id="too deep"),
        pytest.param(
            '<!DOCTYPE v [<!ENTITY e SYSTEM "file:///etc/passwd">]><View>&e;</View>',
            id="external entity",
        ),
        pytest.param(
            f'<!DOCTYPE v [<!ENTITY e "image">]><View>{IMAGE.replace("image", "&e;")}</View>',
            id="internal entity",
        ),
    ],
)
def test_config_that_is_not_xml_is_refused(xml):
    assert reason_of(lambda: parse_labeling_config(xml)) == "Labeling config is not XML"


@pytest.mark.parametrize(
    ("tags", "size"),
    [
        pytest.param([IMAGE, f"<!--{'x' * 10**6}-->"], "1000056 characters", id="characters"),
        pytest.param(
            [IMAGE, *(f'<Brush name="{n}" toName="image"/>' for n in range(201))],
            "201 controls on images",
            id="controls",
        ),
        pytest.param(
            [
                *(f'<Image name="{n}" value="$a"/>' for n in range(201)),
                f'<Labels name="l" toName="{",".join(map(str, range(201)))}"/>',
            ],
            "201 controls on images",
            id="images of one control",
        ),
    ],
)
def test_config_beyond_its_bounds_is_refused(tags, size):
    assert reason_of(lambda: parse(*tags)).startswith(f"Labeling config has {size}, at most ")


def test_choices_do_not_count_as_controls_of_regions():
    choices = (f'<Choices name="c{n}" toName="image"/>' for n in range(201))
    parse(IMAGE, BRUSH_LABELS, KEY_POINT_LABELS, *choices).require_usable()


@pytest.mark.parametrize(
    "tag",
    [
        pytest.param("", id="nothing"),
        pytest.param('<Text name="text" value="$text"/>', id="text"),
        pytest.param('<Image name="image" value="https://example.org/a.jpg"/>', id="fixed image"),
    ],
)
def test_config_without_an_image_of_the_task_is_refused(tag):
    assert reason_of(lambda: parse(tag)) == "No Image tag in the labeling config"
