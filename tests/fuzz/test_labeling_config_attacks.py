"""Labeling configs that are meant to do harm: named, soon, and without much memory."""

import resource
import time

import pytest
from fuzzed_service import LONGEST_S, example_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.label_studio.projects import LABELING_CONFIG

LAUGHS = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10 if n else 'ha' * 50}'>" for n in range(10))
MORE_MEMORY_MB = 200  # the request itself, in its several forms, among it


def inside(text):
    return LABELING_CONFIG.replace("</View>", f"{text}</View>", 1)


ATTACKS = {
    "billion-laughs": f"<!DOCTYPE v [{LAUGHS}]><View>&l9;</View>",
    "laughs-in-an-attribute": f'<!DOCTYPE v [{LAUGHS}]><View a="&l9;"/>',
    "one-long-entity-often": (
        f"<!DOCTYPE v [<!ENTITY a '{'a' * 50_000}'>]><View>{'&a;' * 50_000}</View>"
    ),
    "external-entity": '<!DOCTYPE v [<!ENTITY e SYSTEM "file:///etc/passwd">]><View>&e;</View>',
    "external-dtd": '<!DOCTYPE v SYSTEM "http://127.0.0.1:9/x.dtd"><View/>',
    "parameter-entity": '<!DOCTYPE v [<!ENTITY % e SYSTEM "file:///etc/passwd">%e;]><View/>',
    "doctype-after-a-comment": f"<!-- --> \n<!DOCTYPE v [{LAUGHS}]><View>&l9;</View>",
    "doctype-after-an-instruction": f"<?a?><!DOCTYPE v [{LAUGHS}]><View>&l9;</View>",
    "entity-without-a-doctype": "<View>&l9;</View>",
    "endless-depth": "<View>" * 50_000 + "</View>" * 50_000,
    "never-closed": "<View>" * 100_000,
    "huge-text": f"<View>{'a' * 5_000_000}</View>",
    "huge-attribute": f'<View a="{"a" * 5_000_000}"/>',
    "many-controls": inside("".join(f'<Brush name="{n}" toName="image"/>' for n in range(20_000))),
    "many-shapes-and-labels": inside(
        "".join(
            f'<Brush name="b{n}" toName="image"/><Labels name="l{n}" toName="image"/>'
            for n in range(10_000)
        )
    ),
    "another-encoding": '<?xml version="1.0" encoding="utf-7"?><View/>',
    "nul": "<View>\0</View>",
    "half-a-tag": LABELING_CONFIG[:-20],
    "nothing": "",
    "json": '{"View": {}}',
}
HARMLESS = {
    "xinclude": inside(
        '<a xmlns:xi="http://www.w3.org/2001/XInclude">'
        '<xi:include href="file:///etc/passwd" parse="text"/></a>'
    ),
    "style-sheet": f'<?xml-stylesheet href="file:///etc/passwd"?>{LABELING_CONFIG}',
    "many-attributes": inside("<a " + " ".join(f"a{n}='1'" for n in range(10_000)) + "/>"),
    "many-other-tags": inside("<Header/>" * 50_000),
}


def send(service, config):
    """Both routes that take a config; the click is on a task of its own."""
    started = time.perf_counter()
    setup = service.send("/setup", json={"project": "1.2", "schema": config})
    task = {"id": 5, "data": {"image": "/a.png"}}
    opened = service.send("/predict", json={"tasks": [task], "label_config": config})
    assert time.perf_counter() - started < LONGEST_S
    return setup, opened


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_refused_and_takes_no_memory(service, name):
    before_mb = peak_mb()
    for response in send(service, ATTACKS[name]):
        assert response.status_code == 422
        error = response.json["error"]
        assert error["code"] == "labeling_config"
        assert "root:" not in response.text
    assert peak_mb() - before_mb < MORE_MEMORY_MB


@pytest.mark.parametrize("name", HARMLESS)
def test_config_that_only_looks_like_an_attack_is_taken_without_following_it(service, name):
    before_mb = peak_mb()
    for response in send(service, HARMLESS[name]):
        assert response.status_code == 200
        assert "root:" not in response.text
    assert peak_mb() - before_mb < MORE_MEMORY_MB


# Configs of tags that are there and tags that are not, put together without sense

TAGS = (
    *("Image", "image", "KeyPointLabels", "RectangleLabels", "BrushLabels", "Labels", "Label"),
    *("Brush", "KeyPoint", "Rectangle", "PolygonLabels", "BitmaskLabels", "Choices", "Choice"),
    *("Video", "VideoRectangle", "Chat", "ReactCode", "Taxonomy", "Repeater", "View", "Style", "a"),
)
VALUES = (
    "image",
    "point",
    "$image",
    "$",
    "",
    "image,image",
    ",",
    "Object",
    "true",
    "false",
    "é",
    "{{i}}",
)
attributes = st.dictionaries(
    st.sampled_from(["name", "toName", "value", "valueList", "alias", "smart", "indexFlag", "on"]),
    st.sampled_from(VALUES),
)


@st.composite
def trees(draw, depth=0):
    tag = draw(st.sampled_from(TAGS))
    written = "".join(f' {name}="{value}"' for name, value in draw(attributes).items())
    children = draw(st.lists(trees(depth + 1), max_size=3)) if depth < 3 else []
    return f"<{tag}{written}>{''.join(children)}</{tag}>"


@settings(**example_settings(300), suppress_health_check=list(HealthCheck))
@given(tree=trees())
def test_any_tags_are_taken_or_named(service, tree):
    for config in (f"<View>{tree}</View>", inside(tree)):
        for response in send(service, config):
            assert response.status_code in (200, 422)
        service.answers_a_good_click()


@settings(**example_settings(300), suppress_health_check=list(HealthCheck))
@given(place=st.integers(0, len(LABELING_CONFIG)), length=st.integers(0, 40), text=st.text())
def test_config_with_a_piece_replaced_is_taken_or_named(service, place, length, text):
    config = LABELING_CONFIG[:place] + text + LABELING_CONFIG[place + length :]
    for response in send(service, config):
        assert response.status_code in (200, 422)
