import pytest
from labeling_configs import (
    BROKEN_NAME,
    BRUSH_LABELS,
    IMAGE,
    KEY_POINT_LABELS,
    LABELS,
    brush_labels,
    parse,
    reason_of,
    recorded,
    smart_names,
)

from backend.core.errors import LabelingConfigError
from backend.core.outputs import OUTPUTS
from backend.labeling.config import ImageTag, MaskControl, PromptControl
from backend.labeling.parse_config import parse_labeling_config


@pytest.mark.parametrize(
    ("name", "image", "prompt_controls", "mask_control", "outputs"),
    [
        pytest.param(
            "kp_1_positive",
            ImageTag("image", "image"),
            ["keypoint", "rectangle"],
            brush_labels(),
            ["brush", "rectangle"],
            id="label controls, among style and views",
        ),
        pytest.param(
            "kp_image_rotated_90",
            ImageTag("image", "image"),
            ["keypoint", "rectangle"],
            brush_labels(),
            ["brush", "bitmask", "polygon", "rectangle"],
            id="polygons and bitmasks beside",
        ),
        pytest.param(
            "kp_multi_image_page_2",
            ImageTag("image", "images"),
            ["keypoint"],
            brush_labels(labels=("Cat",)),
            ["brush"],
            id="a list of images",
        ),
        pytest.param(
            "kp_labels_tag",
            ImageTag("image", "image"),
            ["kp"],
            MaskControl("brush", "image", "brush", "labels", ("Cat", "Dog")),
            ["brush"],
            id="shared labels",
        ),
        pytest.param(
            "kp_no_labels",
            ImageTag("image", "image"),
            ["kp"],
            MaskControl("brush", "image", "brush", None, ()),
            ["brush"],
            id="no labels",
        ),
    ],
)
def test_recorded_config_is_read(name, image, prompt_controls, mask_control, outputs):
    config = recorded(name)
    assert config.images == {"image": image}
    assert smart_names(config) == prompt_controls
    assert config.mask_controls[0] == mask_control
    assert [control.output for control in config.mask_controls] == outputs
    config.require_usable()


def test_config_with_several_images_keeps_their_controls_apart():
    config = parse(
        '<Image name="left eye" value="$l"/><Image name="right" value="$r"/>',
        f'<BrushLabels name="b1" toName="left eye">{LABELS}</BrushLabels>',
        '<BrushLabels name="b2" toName="right"><Label value="Bird"/></BrushLabels>',
        f'<KeyPointLabels name="k" toName="left eye,right">{LABELS}</KeyPointLabels>',
        '<Choices name="c" toName="right"><Choice value="Cat"/></Choices>',
    )
    assert config.images["right"].data_key == "r"
    assert [(control.name, control.to_name) for control in config.prompt_controls] == [
        ("k", "left eye"),
        ("k", "right"),
    ]
    assert config.mask_control("left eye", ("Cat",)).name == "b1"
    assert config.mask_control("right", ("Bird",)).name == "b2"


def test_label_may_hold_quotes_spaces_and_any_script():
    label = "He said \"hi\" & left, 猫 'é'"
    escaped = label.replace("&", "&amp;").replace('"', "&quot;")
    config = parse(
        IMAGE,
        f'<BrushLabels name="b" toName="image"><Label value="{escaped}"/></BrushLabels>',
        KEY_POINT_LABELS,
    )
    assert config.mask_control("image", (label,)).labels == (label,)


def test_label_alias_is_what_regions_carry():
    config = parse(
        IMAGE,
        '<BrushLabels name="b" toName="image"><Label value="Cat" alias="c1"/></BrushLabels>',
    )
    assert config.mask_control("image", ("c1",)).labels == ("c1",)


@pytest.mark.parametrize("tag", ["label", "LABEL", "Label"])
def test_label_is_found_in_any_case(tag):
    """Tried in Label Studio 1.23.2: its editor offers the label, and a click brings it along."""
    label = f'<{tag} value="Cat"></{tag}>'
    config = parse(
        IMAGE,
        f'<KeyPointLabels name="k" toName="image">{label}</KeyPointLabels>',
        f'<BrushLabels name="b" toName="image">{label}</BrushLabels>',
    )
    assert config.prompt_controls[0].labels == ("Cat",)
    assert config.mask_control("image", ("Cat",)).labels == ("Cat",)
    assert list(config.labels) == ["Cat"]


@pytest.mark.parametrize(
    ("attributes", "on_label", "is_smart"),
    [
        pytest.param('smart="true"', "", True, id="true"),
        pytest.param("", "", True, id="not given"),
        pytest.param("", 'smart="true"', True, id="only on the label"),
        pytest.param('smart="false"', "", False, id="false"),
        pytest.param('smart="false"', 'smart="true"', False, id="false, true on the label"),
        pytest.param('smart="false" smartOnly="true"', "", False, id="false and smartOnly"),
    ],
)
@pytest.mark.parametrize("tag", ["KeyPointLabels", "RectangleLabels"])
def test_control_is_smart_as_in_the_editor(tag, attributes, on_label, is_smart):
    """Tried in Label Studio 1.23.2: a smart tool is offered unless the control says false."""
    label = f'<Label value="Cat" {on_label}/>'
    config = parse(IMAGE, f'<{tag} name="c" toName="image" {attributes}>{label}</{tag}>')
    assert config.prompt_controls == (
        PromptControl("c", "image", is_smart, tag.lower(), "c", ("Cat",)),
    )


@pytest.mark.parametrize("tag", ["KeyPoint", "Rectangle"])
def test_control_without_labels_prompts(tag):
    config = parse(IMAGE, f'<{tag} name="c" toName="image" smart="true"/>')
    assert config.prompt_controls == (
        PromptControl("c", "image", True, tag.lower(), labels_control=None, labels=()),
    )


def test_mask_control_is_the_first_that_knows_the_label():
    config = parse(
        IMAGE,
        '<Brush name="free" toName="image"/>',
        '<Labels name="birds" toName="image"><Label value="Owl"/></Labels>',
        '<Labels name="fish" toName="image"><Label value="Eel"/></Labels>',
        BRUSH_LABELS,
        '<BrushLabels name="cars" toName="image"><Label value="Bus"/></BrushLabels>',
    )
    chosen = {
        label: config.mask_control("image", (label,)) for label in ("Dog", "Bus", "Owl", "Eel")
    }
    assert {label: control.name for label, control in chosen.items()} == {
        "Dog": "brush",
        "Bus": "cars",
        "Owl": "free",
        "Eel": "free",
    }
    assert chosen["Eel"].labels_control == "fish"
    assert config.mask_control("image", ()).name == "brush"


EVERY_OUTPUT = (
    f'<RectangleLabels name="rectangle" toName="image" smart="false">{LABELS}</RectangleLabels>',
    f'<PolygonLabels name="polygon" toName="image">{LABELS}</PolygonLabels>',
    f'<BitmaskLabels name="bitmask" toName="image">{LABELS}</BitmaskLabels>',
    BRUSH_LABELS,
)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_mask_goes_to_the_first_output_that_the_project_has(count):
    config = parse(IMAGE, KEY_POINT_LABELS, *EVERY_OUTPUT[:count])
    config.require_usable()
    chosen = config.mask_control("image", ("Cat",))
    assert chosen.output == ["rectangle", "polygon", "bitmask", "brush"][count - 1]
    assert chosen.region_type == f"{chosen.output}labels"


@pytest.mark.parametrize("output", OUTPUTS)
def test_mask_goes_to_the_preferred_output_if_the_project_has_it(output):
    config = parse(IMAGE, *EVERY_OUTPUT)
    assert config.mask_control("image", ("Cat",), output=output).name == output
    without = parse(IMAGE, *(tag for tag in EVERY_OUTPUT if f'"{output}"' not in tag))
    usual = without.mask_control("image", ("Cat",))
    assert without.mask_control("image", ("Cat",), output=output) == usual


def test_preferred_output_that_does_not_know_the_label_is_passed_over():
    polygons = '<PolygonLabels name="poly" toName="image"><Label value="Bird"/></PolygonLabels>'
    config = parse(IMAGE, BRUSH_LABELS, polygons)
    assert config.mask_control("image", ("Cat",), output="polygon").name == "brush"
    assert config.mask_control("image", ("Bird",), output="brush").name == "poly"


def test_preferred_output_with_shared_labels_comes_before_others_with_their_own():
    config = parse(
        IMAGE,
        BRUSH_LABELS,
        f'<Polygon name="p" toName="image"/><Labels name="l" toName="image">{LABELS}</Labels>',
    )
    assert config.mask_control("image", ("Cat",)).name == "brush"
    assert config.mask_control("image", ("Cat",), output="polygon").labels_control == "l"


def test_smart_rectangles_beside_key_points_take_their_boxes():
    config = parse(
        IMAGE,
        KEY_POINT_LABELS,
        f'<RectangleLabels name="box" toName="image" smart="true">{LABELS}</RectangleLabels>',
    )
    config.require_usable()
    assert [control.name for control in config.prompt_controls] == ["keypoint", "box"]
    assert config.mask_control("image", ("Dog",)).name == "box"


def test_shared_labels_stay_with_their_image():
    config = parse(
        f'{IMAGE}<Image name="map" value="$map"/><Brush name="brush" toName="image,map"/>',
        '<Labels name="pets" toName="image"><Label value="Cat"/></Labels>',
        '<Labels name="ways" toName="map"><Label value="Road"/></Labels>',
    )
    assert config.mask_control("map", ("Road",)).labels_control == "ways"
    with pytest.raises(LabelingConfigError, match=r"'brush' \('Road'\)"):
        config.mask_control("map", ("Cat",))


def test_mask_control_whose_labels_come_with_the_task_takes_any():
    config = parse(IMAGE, '<BrushLabels name="b" toName="image" value="$labels"/>')
    assert config.mask_control("image", ("Anything",)).labels is None


def test_config_of_many_labels_is_checked_without_comparing_each_with_each(monkeypatch):
    """Every click checks it; with 20,000 labels that took 13 s."""
    labels = "".join(f'<Label value="{n}"/>' for n in range(2000))
    config = parse(
        IMAGE,
        f'<KeyPointLabels name="k" toName="image"><Label value="-"/>{labels}</KeyPointLabels>',
        f'<BrushLabels name="b" toName="image">{labels}</BrushLabels>',
    )
    asked = []
    takes = MaskControl.takes
    monkeypatch.setattr(MaskControl, "takes", lambda *args: asked.append(args) or takes(*args))
    config.require_usable()
    assert len(asked) == 2  # the label that only the key points know, and the first that both do


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        pytest.param(
            [BRUSH_LABELS],
            "No smart KeyPointLabels or RectangleLabels in the labeling config",
            id="nothing prompts",
        ),
        pytest.param(
            [BRUSH_LABELS, KEY_POINT_LABELS.replace("true", "false")],
            "No smart KeyPointLabels or RectangleLabels in the labeling config",
            id="smart is off",
        ),
        pytest.param(
            [KEY_POINT_LABELS],
            "No control for masks on this image in the labeling config",
            id="nothing takes masks",
        ),
        pytest.param(
            [KEY_POINT_LABELS, '<Image name="b" value="$b"/>', '<Brush name="x" toName="b"/>'],
            "No control for masks on this image in the labeling config",
            id="the brush is on another image",
        ),
    ],
)
def test_config_that_cannot_work_names_what_is_missing(tags, reason):
    assert reason_of(parse(IMAGE, *tags).require_usable) == reason


def test_config_whose_controls_share_no_label_names_one():
    """No click could ever give a mask with it."""
    brush = '<BrushLabels name="brush" toName="image"><Label value="Bird"/></BrushLabels>'
    config = parse(IMAGE, brush, KEY_POINT_LABELS)
    assert reason_of(config.require_usable) == "Label 'Cat' unknown to mask control 'brush'"
    parse(IMAGE, brush, BRUSH_LABELS.replace("brush", "second"), KEY_POINT_LABELS).require_usable()


def test_known_labels_are_those_that_masks_can_have():
    brush = '<BrushLabels name="brush" toName="image"><Label value="Dog"/></BrushLabels>'
    config = parse(IMAGE, brush, KEY_POINT_LABELS)
    config.require_usable()
    assert config.known_labels(config.prompt_controls[0]) == [("Dog",)]


def test_shared_labels_are_those_of_each_prompting_control():
    config = recorded("kp_labels_tag")
    [control] = config.prompt_controls
    assert (control.labels_control, control.labels) == ("labels", ("Cat", "Dog"))
    assert config.known_labels(control) == [("Cat",), ("Dog",)]


def test_config_is_usable_if_one_of_its_images_is():
    parse(
        '<Image name="map" value="$map"/>', IMAGE, BRUSH_LABELS, KEY_POINT_LABELS
    ).require_usable()


def test_unknown_label_is_refused_with_the_control_and_its_labels():
    with pytest.raises(LabelingConfigError) as caught:
        parse(IMAGE, BRUSH_LABELS).mask_control("image", ("Cat", "Bird"))
    assert caught.value.reason == "Label 'Bird' unknown to mask control 'brush'"
    assert "'Bird'" in caught.value.message
    assert "'brush' ('Cat', 'Dog')" in caught.value.message


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        pytest.param("Котик", "'?????'", id="not ascii"),
        pytest.param("a" * 1000, f"'{'a' * 12}...{'a' * 13}'", id="long"),
    ],
)
def test_unknown_label_fits_into_the_status_line(label, shown):
    config = parse(IMAGE, BRUSH_LABELS.replace("brush", "b" * 1000))
    reason = reason_of(lambda: config.mask_control("image", (label,)))
    assert reason.startswith(f"Label {shown} unknown to mask control 'bbb")
    assert len(reason) < 100


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda: parse_labeling_config("<View>\0</View>"), id="parser's words"),
        pytest.param(lambda: parse(BROKEN_NAME).require_usable(), id="image, no prompts"),
        pytest.param(lambda: parse(BROKEN_NAME).mask_control("a\nb", ()), id="image, no masks"),
        pytest.param(
            lambda: parse(IMAGE, BRUSH_LABELS.replace("Dog", "D&#10;g")).mask_control(
                "image", ("Bird",)
            ),
            id="label",
        ),
    ],
)
def test_message_is_one_line_whatever_the_config_holds(act):
    with pytest.raises(LabelingConfigError) as caught:
        act()
    assert str(caught.value).isprintable()


def test_label_for_an_unlabelled_brush_is_refused():
    with pytest.raises(LabelingConfigError, match=r"'brush' \(no labels\)"):
        recorded("kp_no_labels").mask_control("image", ("Cat",))
