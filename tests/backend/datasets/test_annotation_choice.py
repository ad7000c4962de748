import pytest

from backend.datasets.annotation_choice import AnnotationChoice, Standing, Which
from backend.datasets.labelled_tasks import LabelledTask


def annotation(number, created="01", updated=None, **more):
    return {
        "id": number,
        "created_at": f"2026-11-{created}T00:00:00Z",
        "updated_at": f"2026-11-{updated or created}T00:00:00Z",
        "result": [number],
        **more,
    }


def chosen(rule, **kinds):
    standing, annotations = rule.choose(LabelledTask(1, {"image": "a.jpg"}, **kinds))
    return standing, [result for found in annotations for result in found["result"]]


TWO = [annotation(1, "01", updated="09"), annotation(2, "02", updated="03", ground_truth=True)]


@pytest.mark.parametrize(
    ("which", "numbers"),
    [
        pytest.param(Which.LATEST, [1], id="latest-by-its-last-change"),
        pytest.param(Which.FIRST, [1], id="first-by-its-making"),
        pytest.param(Which.ALL, [1, 2], id="all"),
        pytest.param(Which.GROUND_TRUTH, [2], id="ground-truth"),
    ],
)
def test_choice_of_two_annotations(which, numbers):
    assert chosen(AnnotationChoice(which), annotations=TWO) == (Standing.COUNTS, numbers)


def test_skipped_annotations_never_count():
    skipped = [annotation(1, was_cancelled=True), annotation(2, skipped=True)]
    for which in Which:
        assert chosen(AnnotationChoice(which), annotations=skipped) == (Standing.LEFT_OUT, [])
    assert chosen(AnnotationChoice(), annotations=[annotation(3), *skipped])[1] == [3]


def test_task_without_ground_truth_is_left_out_and_not_taken_for_unannotated():
    rule = AnnotationChoice(Which.GROUND_TRUTH)
    assert chosen(rule, annotations=[annotation(1)])[0] is Standing.LEFT_OUT
    assert chosen(rule)[0] is Standing.NOT_ANNOTATED


def test_drafts_count_only_when_asked_for():
    drafts = [annotation(7, annotation=None)]
    assert chosen(AnnotationChoice(), drafts=drafts) == (Standing.NOT_ANNOTATED, [])
    assert chosen(AnnotationChoice(drafts=True), drafts=drafts) == (Standing.COUNTS, [7])


def test_draft_stands_in_place_of_the_annotation_that_it_changes():
    drafts = [annotation(7, "05", annotation=2)]
    rule = AnnotationChoice(Which.ALL, drafts=True)
    assert chosen(rule, annotations=TWO, drafts=drafts)[1] == [1, 7]


def test_predictions_count_only_when_asked_for_and_where_no_annotation_does():
    predictions = [annotation(8, "01"), annotation(9, "02")]
    rule = AnnotationChoice(predictions=True)
    assert chosen(AnnotationChoice(), predictions=predictions) == (Standing.NOT_ANNOTATED, [])
    assert chosen(rule, predictions=predictions) == (Standing.COUNTS, [9])
    assert chosen(rule, annotations=TWO, predictions=predictions)[1] == [1]


def test_numbers_in_place_of_predictions_are_none():
    """JSON exports hold only the predictions' numbers."""
    assert chosen(AnnotationChoice(predictions=True), predictions=[8]) == (
        Standing.NOT_ANNOTATED,
        [],
    )


@pytest.mark.parametrize("number", [None, 7], ids=["no-ids", "one-id"])
def test_annotations_with_one_id_or_none_all_count(number):
    three = [{**annotation(number), "result": [text]} for text in "abc"]
    drafts = [{"id": number, "result": ["d"]}, {"id": number, "result": ["e"]}]
    rule = AnnotationChoice(Which.ALL, drafts=True)
    _, results = chosen(rule, annotations=three, drafts=drafts)
    assert sorted(results) == ["a", "b", "c", "d", "e"]
