import pytest

from backend.commands.connect.clicks import find_target
from backend.commands.connect.keys import label_keys, what_to_press
from backend.label_studio.projects import LABELING_CONFIG
from backend.labeling.parse_config import parse_labeling_config

TASK = {"id": 1, "data": {"image": "/a.png", "pages": ["/0.png", "/1.png"]}}


def labels(count, **attributes):
    more = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return "".join(f'<Label value="{number}"{more}/>' for number in range(count))


def keys(*tags):
    xml = f'<View><Image name="image" value="$image"/>{"".join(tags)}</View>'
    return "".join(label_keys(xml).values())


def brush(inside, attributes=""):
    return f'<BrushLabels name="b" toName="image" {attributes}>{inside}</BrushLabels>'


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        pytest.param([brush(labels(12))], "1234567890qw", id="digits-then-letters"),
        pytest.param([brush(labels(30))], "1234567890qwetasdfgzxcv", id="no-keys-of-tools"),
        pytest.param(
            [brush(labels(3) + '<Label value="own" hotkey="2"/>')], "1342", id="own-key-first"
        ),
        pytest.param(
            ['<Choices name="c"><Choice value="x"/></Choices><Rating name="r"/>', brush(labels(1))],
            "3",
            id="others-take-keys-too",
        ),
        pytest.param(
            ['<Taxonomy name="t"><Choice value="x"/></Taxonomy>', brush(labels(1))],
            "1",
            id="taxonomy-takes-none",
        ),
        pytest.param([brush(labels(1), 'allowEmpty="true"')], "2", id="label-that-is-added"),
        pytest.param(
            [brush("", 'value="$labels"'), brush(labels(1)), brush(labels(1, hotkey="c"))],
            "c",
            id="labels-of-the-task",
        ),
        pytest.param([brush('<Label value="x" alias="y"/>')], "1", id="alias"),
        pytest.param([brush(f"<View>{labels(2)}</View>")], "12", id="inside-a-view"),
    ],
)
def test_keys_are_given_as_by_the_editor(tags, expected):
    assert keys(*tags) == expected


def test_keys_of_a_repeater_are_those_of_its_first_item_and_unknown_behind_it():
    item = '<Labels name="l_{{idx}}" toName="i_{{idx}}"><Label value="A"/></Labels>'
    behind = '<Labels name="behind" toName="image"><Label value="B"/></Labels>'
    xml = f'<View><Repeater on="$pages">{item}</Repeater>{behind}</View>'
    assert label_keys(xml) == {("l_0", "A"): "1"}


def test_what_to_press_names_tool_and_labels():
    said = what_to_press(LABELING_CONFIG, find_target(parse_labeling_config(LABELING_CONFIG), TASK))
    assert "press K, then 1 (Object) or 2 (Other), and click an object" in said
    assert "press R, then 3 (Object) or 4 (Other), and drag a box" in said


@pytest.mark.parametrize(
    ("inside", "attributes", "words"),
    [
        pytest.param(labels(9), "", "press M, then 1 (0) or 2 (1) or 3 (2) ..., and", id="many"),
        pytest.param("", 'value="$x"', "press M, then pick a label of 'p', and", id="of-the-task"),
    ],
)
def test_what_to_press_names_what_is_known(inside, attributes, words):
    xml = (
        f'<View><Image name="image" value="$image"/>'
        f'<KeyPointLabels name="p" toName="image" {attributes}>{inside}</KeyPointLabels>'
        f"{brush(inside, attributes)}</View>"
    )
    assert words in what_to_press(xml, find_target(parse_labeling_config(xml), TASK))


def test_what_to_press_for_a_repeater_is_its_first_items():
    xml = """<View><Repeater on="$pages"><Image name="i_{{idx}}" value="$pages[{{idx}}]"/>
    <KeyPointLabels name="p_{{idx}}" toName="i_{{idx}}"><Label value="A"/></KeyPointLabels>
    <BrushLabels name="b_{{idx}}" toName="i_{{idx}}"><Label value="A"/></BrushLabels>
    </Repeater></View>"""
    target = find_target(parse_labeling_config(xml), TASK)
    assert "press M, then 1 (A), and click" in what_to_press(xml, target)
