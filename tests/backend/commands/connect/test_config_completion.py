"""What a labeling config lacks is added; everything else stays as somebody wrote it."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.commands.connect.config_completion import complete_labeling_config
from backend.core.errors import LabelingConfigError
from backend.label_studio import projects
from backend.labeling.parse_config import parse_labeling_config

LABELS = '<Label value="Cat" hotkey="c" background="#f00"/><Label value="Dog" alias="d"/>'
KEY_POINTS = f'<KeyPointLabels name="kp" toName="image" smart="true">{LABELS}</KeyPointLabels>'
BRUSH = f'<BrushLabels name="brush" toName="image" smart="false">{LABELS}</BrushLabels>'
SHARED = '<Labels name="l" toName="image"><Label value="Cat"/></Labels>'

OWN_CONFIG = """\
<!-- the clinic's, do not touch -->
<View className='wide'  >\r
\t<Header value="Tiere &amp; Pflanzen: 猫"/>
  <Image name="image" value="$image" zoom='true'
         zoomControl="true" />
  <PolygonLabels name="shape" toName="image" strokeWidth="3">
    <Label value="Cat" background="#f00" hotkey="c" selected="true"/>
    <View><Label alias="d" value='the "Dog"'/></View>
    <!-- <Label value="Bird"/> -->
  </PolygonLabels>
  <Choices name="point" toName="image" whenTagName="box"><Choice value="blurred"/></Choices>
  <Style><![CDATA[ .a > .b { color: red } ]]></Style>
</View>
"""


def view(*tags):
    return f'<View><Image name="image" value="$image"/>{"".join(tags)}</View>'


def is_subsequence(short, long):
    rest = iter(long)
    return all(character in rest for character in short)


def test_own_config_gets_prompts_behind_its_mask_control():
    completed = complete_labeling_config(OWN_CONFIG)
    assert completed.changes == ("<KeyPointLabels> 'point2'", "<RectangleLabels> 'box'")
    added = """
  <KeyPointLabels name="point2" toName="image" smart="true">
    <Label value="Cat" background="#f00"/>
    <Label value='the "Dog"' alias="d"/>
  </KeyPointLabels>
  <RectangleLabels name="box" toName="image" smart="true">
    <Label value="Cat" background="#f00"/>
    <Label value='the "Dog"' alias="d"/>
  </RectangleLabels>""".replace("\n", "\r\n")
    start = OWN_CONFIG.index("</PolygonLabels>") + len("</PolygonLabels>")
    assert completed.xml == OWN_CONFIG[:start] + added + OWN_CONFIG[start:]


@pytest.mark.parametrize(
    ("tags", "changes"),
    [
        pytest.param(
            [BRUSH], ["<KeyPointLabels> 'point'", "<RectangleLabels> 'box'"], id="no prompts"
        ),
        pytest.param([KEY_POINTS], ["<BrushLabels> 'mask'"], id="no masks"),
        pytest.param(
            ['<RectangleLabels name="r" toName="image"><Label value="Car"/></RectangleLabels>'],
            ["smart=\"true\" on <RectangleLabels> 'r'", "<BrushLabels> 'mask'"],
            id="boxes of a detector",
        ),
        pytest.param(
            [KEY_POINTS.replace("true", "false"), BRUSH],
            ["<KeyPointLabels> 'point'", "<RectangleLabels> 'box'"],
            id="smart is off",
        ),
        pytest.param(
            [KEY_POINTS.replace(' smart="true"', ""), BRUSH.replace(' smart="false"', "")],
            ["smart=\"true\" on <KeyPointLabels> 'kp'", "smart=\"false\" on <BrushLabels> 'brush'"],
            id="smart is not written",
        ),
        pytest.param(
            [KEY_POINTS, BRUSH.replace('"false"', '"true"')],
            ["smart=\"false\" on <BrushLabels> 'brush'"],
            id="smart brush",
        ),
        pytest.param(
            [SHARED, '<Brush name="brush" toName="image" smart="false"/>'],
            ["<KeyPoint> 'point'", "<Rectangle> 'box'"],
            id="shared labels, no prompts",
        ),
        pytest.param(
            [SHARED, '<Rectangle name="r" toName="image" smart="true"/>'],
            ["<Brush> 'mask'"],
            id="shared labels, no masks",
        ),
        pytest.param(
            [KEY_POINTS, BRUSH.replace('<Label value="Dog" alias="d"/>', "")],
            ["the label 'd' in <BrushLabels> 'brush'"],
            id="a label is missing",
        ),
        pytest.param(
            [KEY_POINTS, '<BrushLabels name="brush" toName="image" smart="false"/>'],
            ["the labels 'Cat', 'd' in <BrushLabels> 'brush'"],
            id="all labels are missing",
        ),
        pytest.param(
            [KEY_POINTS, '<Brush name="brush" toName="image" smart="false"/>'],
            ["<BrushLabels> 'mask'"],
            id="labels and nothing that takes any",
        ),
        pytest.param(
            ['<BrushLabels name="brush" toName="image" smart="false" value="$classes"/>'],
            ["<KeyPointLabels> 'point'", "<RectangleLabels> 'box'"],
            id="labels that come with the task",
        ),
        pytest.param(
            ['<Choices name="c" toName="image"><Choice value="Good"/></Choices>'],
            ["<KeyPointLabels> 'point'", "<RectangleLabels> 'box'", "<BrushLabels> 'mask'"],
            id="nothing but choices",
        ),
    ],
)
def test_what_is_missing_is_added_once(tags, changes):
    completed = complete_labeling_config(view(*tags))
    assert list(completed.changes) == changes
    assert complete_labeling_config(completed.xml) == (completed.xml, ())
    config = parse_labeling_config(completed.xml)
    config.require_usable()
    for control in config.prompt_controls:
        if control.is_smart:
            assert config.known_labels(control) == control.clicks_labels


@pytest.mark.parametrize(
    "xml",
    [
        pytest.param(projects.LABELING_CONFIG, id="the README's"),
        pytest.param(
            view(
                KEY_POINTS,
                f'<RectangleLabels name="r" toName="image" smart="true">{LABELS}</RectangleLabels>',
            ),
            id="clicks and boxes to tight boxes",
        ),
    ],
)
def test_complete_config_is_left_alone(xml):
    assert complete_labeling_config(xml) == (xml, ())


def test_every_image_with_controls_is_completed():
    brush = '<BrushLabels name="{0}m" toName="{0}" smart="false"><Label value="X"/></BrushLabels>'
    xml = (
        '<View><Image name="a" value="$a"/><Image name="b" value="$b"/><Image name="c" value="$c"/>'
        + brush.format("a")
        + brush.format("c")
        + "</View>"
    )
    config = parse_labeling_config(complete_labeling_config(xml).xml)
    assert {control.to_name for control in config.prompt_controls} == {"a", "c"}


def test_control_on_two_images_is_changed_once():
    xml = view('<Image name="b" value="$b"/>', KEY_POINTS, BRUSH)
    xml = xml.replace('toName="image"', 'toName="image,b"').replace(' smart="true"', "")
    completed = complete_labeling_config(xml)
    assert completed.changes == ("smart=\"true\" on <KeyPointLabels> 'kp'",)


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        pytest.param("<View", "Labeling config is not XML", id="not XML"),
        pytest.param(
            '<View><Text name="t" value="$t"/></View>',
            "No Image tag in the labeling config",
            id="no image",
        ),
    ],
)
def test_config_that_no_addition_helps_is_refused(xml, reason):
    with pytest.raises(LabelingConfigError) as caught:
        complete_labeling_config(xml)
    assert caught.value.reason == reason


NAMES = st.text("abz é&\"'<>", min_size=1, max_size=4)
SPACES = st.sampled_from(["", " ", "\n", "\n  ", "\r\n\t", '<!-- > smart="true" \'-->', "<Hr/>"])
SMART = st.sampled_from(["", "true", "false"])


def quoted(text, quote):
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return f"{quote}{text.replace(chr(39), '&apos;')}{quote}"


@st.composite
def controls(draw, number):
    kind = draw(
        st.sampled_from(["Labels"])
        | st.builds(
            str.__add__,
            st.sampled_from(
                ["KeyPoint", "Rectangle", "Brush", "Bitmask", "Polygon", "Ellipse", "Choices"]
            ),
            st.sampled_from(["", "Labels"]),
        )
    )
    quote = draw(st.sampled_from("\"'"))
    smart = draw(SMART)
    attributes = [f"name={quote}c{number}{quote}", f"toName={quote}image{quote}"]
    attributes += [f"smart={quote}{smart}{quote}"] if smart else []
    attributes += draw(st.sampled_from([[], [], ['value="$labels"'], ['data-x="/>"']]))
    labels = draw(st.lists(NAMES, max_size=3, unique=True))
    texts = [f"{draw(SPACES)}<Label value={quoted(label, quote)} />" for label in labels]
    head = (
        f"<{kind} {' '.join(draw(st.permutations(attributes)))}{draw(st.sampled_from(['', ' ']))}"
    )
    if not texts and draw(st.booleans()):
        return f"{draw(SPACES)}{head}/>"
    return f"{draw(SPACES)}{head}>{''.join(texts)}{draw(SPACES)}</{kind}>"


@st.composite
def labeling_configs(draw):
    tags = [draw(controls(number)) for number in range(draw(st.integers(0, 4)))]
    image = '<Image name="image" value="$image"/>'
    tags.insert(draw(st.integers(0, len(tags))), image)
    return f"<View>{''.join(tags)}{draw(SPACES)}</View>"


@settings(max_examples=400, deadline=None)
@given(labeling_configs())
def test_additions_keep_every_character_and_make_any_config_usable(xml):
    completed = complete_labeling_config(xml)
    parse_labeling_config(completed.xml).require_usable()
    assert complete_labeling_config(completed.xml) == (completed.xml, ())
    # Nothing goes but the value of a smart brush and the "/" of a control that gets labels.
    kept = re.sub(r"""(<Brush(?:Labels)?\b[^<]*?smart=.)true""", r"\1", xml)
    assert is_subsequence(re.sub(r"(Labels\b[^<]*)/>", r"\1>", kept), completed.xml)
