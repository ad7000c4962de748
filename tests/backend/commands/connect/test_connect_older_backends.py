"""A project may have backends already; Label Studio sends clicks to its first interactive one."""

from fake_ml_project import NOWHERE, RunningBackend

from backend.label_studio import projects


def test_older_interactive_backend_makes_room(connect, label_studio, backend):
    with RunningBackend().running() as other:
        label_studio.add_record(other.url)
        status, said = connect("--yes")
    assert status == 0, said
    assert "Label Studio sends the clicks there" in said
    states = {record["url"]: record["is_interactive"] for record in label_studio.records.values()}
    assert states == {other.url: False, backend.url: True}
    assert backend.predictor.prompts


def test_older_backend_that_is_gone_is_removed_with_its_webhook(connect, label_studio, backend):
    label_studio.add_record(NOWHERE)
    status, said = connect("--yes")
    assert status == 0, said
    assert [record["url"] for record in label_studio.records.values()] == [backend.url]
    assert list(label_studio.webhooks.values()) == [f"{backend.url}/webhook"]


def test_removal_that_was_interrupted_is_finished_the_next_time(connect, label_studio, backend):
    gone = label_studio.add_record(NOWHERE)
    answer = label_studio.answer
    after = []  # the first deletion

    def answer_and_die(request):
        if after:
            return 502, {}, b"gone"
        after.extend([request] * (request.method == "DELETE"))
        return answer(request)

    label_studio.answer = answer_and_die
    assert connect("--yes")[0] == 1
    label_studio.answer = answer
    assert connect("--yes")[0] == 0
    assert gone not in label_studio.records
    assert list(label_studio.webhooks.values()) == [f"{backend.url}/webhook"]


def test_no_to_making_room_says_where_the_clicks_go(connect, label_studio, answers):
    label_studio.labeling_config = projects.LABELING_CONFIG
    label_studio.add_record(NOWHERE)
    answers.typed = ("n",)
    status, said = connect()
    assert status == 1
    assert f"clicks go to the backend 'other' at {NOWHERE}" in said
    assert len(label_studio.records) == 2


def test_interactive_is_switched_on_for_a_record_that_is_there(connect, label_studio, backend):
    label_studio.add_record(f"{backend.url}/", is_interactive=False)
    status, said = connect("--yes")
    assert status == 0, said
    [record] = label_studio.records.values()
    assert record["is_interactive"] is True
