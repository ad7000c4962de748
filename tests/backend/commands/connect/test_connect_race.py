"""`connect` while somebody else saves the labeling config in a browser."""

import builtins

import pytest

LABEL = '<Label value="Cat" background="red"/>'
MORE = f'{LABEL}<Label value="ADDED"/>'
KEY_POINTS = (
    '<KeyPointLabels name="k" toName="photo" smart="true"><Label value="Cat"/></KeyPointLabels>'
)


@pytest.fixture
def meanwhile(answers, label_studio, monkeypatch):
    """Changes the config while each of the questions waits for its answer."""
    answer = builtins.input

    def type_after(*changes):
        left = list(changes)
        answers.typed = ("y",) * 5

        def ask(question=""):
            if left:
                label_studio.labeling_config = left.pop(0)(label_studio.labeling_config)
            return answer(question)

        monkeypatch.setattr("builtins.input", ask)

    return type_after


def test_label_that_a_colleague_added_meanwhile_stays(connect, label_studio, answers, meanwhile):
    meanwhile(lambda xml: xml.replace(LABEL, MORE))
    status, said = connect()
    assert status == 0
    assert label_studio.labeling_config.count('value="ADDED"') > 1  # to click with, too
    assert "<!-- the clinic's -->" in label_studio.labeling_config
    assert "Somebody else has saved the labeling config meanwhile" in said
    assert '+  <PolygonLabels name="shape" toName="photo"><Label value="Cat"' in said
    assert sum("Save it" in question for question in answers.questions) == 1


def test_what_is_lacking_by_then_is_asked_about(connect, label_studio, answers, meanwhile):
    meanwhile(lambda xml: xml.replace("</View>", f"{KEY_POINTS}</View>"))
    assert connect()[0] == 0
    assert sum("Save it" in question for question in answers.questions) <= 2
    assert label_studio.labeling_config.count("<KeyPointLabels") == 1


def test_config_that_a_colleague_completed_meanwhile_is_left_alone(
    connect, label_studio, answers, meanwhile
):
    completed = []

    def complete(xml):
        boxes = KEY_POINTS.replace("KeyPoint", "Rectangle").replace('"k"', '"r"')
        completed.append(xml.replace("</View>", f"{KEY_POINTS}{boxes}</View>"))
        return completed[0]

    meanwhile(complete)
    assert connect()[0] == 0
    assert label_studio.labeling_config == completed[0]
    assert ("PATCH", "/api/projects/7/") not in label_studio.changes
