import logging
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import ImageError, ImageUnreachableError
from backend.monitoring.request_log import log_request, log_unprepared, logfmt
from backend.monitoring.request_record import LONGEST_TEXT, Fault, RequestRecord, accepted_id


def record(*, status=200, total_s=0.0, **changes):
    values = {"request_id": "abc", "method": "POST", "path": "/predict", "route": "/predict"}
    record = RequestRecord(**values | changes)
    record.end(status)
    record.total_s = total_s
    return record


@pytest.fixture
def lines(caplog):
    caplog.set_level("DEBUG", logger="backend")

    def lines_of(request):
        caplog.clear()
        log_request(request)
        return [(entry.levelname, entry.getMessage()) for entry in caplog.records]

    return lines_of


def test_click_is_one_line_with_its_prompts_cache_and_steps(lines):
    click = record(
        task_ids=(4,),
        project="1.1795350403",
        prompts={"points": 2, "negative_points": 1, "boxes": 0},
        masks=1,
        tiers=["encoder", "memory", "memory"],
        steps_s={"fetch": 0.01234, "mask": 0.02},
        total_s=0.05,
    )
    expected = (
        "method=POST path=/predict status=200 outcome=mask task=4 project=1.1795350403 "
        "points=2 negative_points=1 boxes=0 masks=1 cache=encoder,memory "
        "fetch_ms=12.3 mask_ms=20.0 total_ms=50.0 request=abc"
    )
    assert lines(click) == [("INFO", expected)]


def test_failed_request_tells_its_reason_and_remedy(lines):
    error = ImageUnreachableError("task 4: no host", remedy="set 'A=b'", reason="Image: no host")
    ((level, line),) = lines(record(status=422, fault=Fault.of(error)))
    assert level == "WARNING"
    assert "status=422 outcome=refused" in line
    assert line.endswith(
        'code=image_unreachable reason="Image: no host" message="task 4: no host" '
        "remedy=\"set 'A=b'\""
    )


def test_long_story_of_an_error_is_cut():
    fault = Fault.of(ImageError("x" * 10_000, remedy="y" * 10_000, reason="z" * 10_000))
    assert {len(fault.message), len(fault.remedy), len(fault.reason)} == {LONGEST_TEXT}


def test_bug_is_told_by_its_type_only():
    fault = Fault.of(ZeroDivisionError("sesame"))
    assert fault.code == "internal_error"
    assert fault.message == "an unexpected ZeroDivisionError"


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        pytest.param({"route": "/health"}, "DEBUG", id="health"),
        pytest.param({"route": "/metrics"}, "DEBUG", id="metrics"),
        pytest.param({"route": "/metrics", "status": 401}, "WARNING", id="metrics-refused"),
        pytest.param({"route": "/webhook", "status": 401}, "DEBUG", id="webhook-never-authorized"),
        pytest.param({"route": "/webhook", "status": 400}, "WARNING", id="webhook-refused"),
        pytest.param({"route": None, "status": 404}, "WARNING", id="unknown"),
        pytest.param({"route": "/setup"}, "INFO", id="setup"),
    ],
)
def test_line_has_the_level_of_its_weight(lines, changes, level):
    assert [entry[0] for entry in lines(record(**changes))] == [level]


def test_batch_names_its_first_tasks_and_their_count(lines):
    ((_, line),) = lines(record(task_ids=tuple(range(1, 31))))
    assert "outcome=prepared task=1,2,3,4,5 tasks=30 " in line


def test_long_path_is_cut(lines):
    ((_, line),) = lines(record(path="/" + "x" * 10_000, route=None, status=404))
    assert len(line) < 300


def test_image_that_cannot_be_prepared_is_a_line_of_its_own(caplog):
    error = ImageError("no picture", remedy="import it again")
    log_unprepared(4, "1.5", error, logging.WARNING)
    (line,) = caplog.messages
    assert line == (
        'outcome=unprepared task=4 project=1.5 code=image reason="Image cannot be used" '
        'message="no picture" remedy="import it again"'
    )


@given(st.text())
def test_value_stays_one_printable_line_and_one_field(value):
    line = logfmt([("a", value), ("b", 1)])
    assert line.isprintable()
    assert len(shlex.split(line)) == 2


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_printable_value_is_read_back_as_it_was(value):
    assert shlex.split(logfmt([("a", value)])) == [f"a={value}"]


@pytest.mark.parametrize(
    ("sent", "is_taken"),
    [
        pytest.param("a-B_c.1", True, id="harmless"),
        pytest.param("x" * 64, True, id="as-long-as-may-be"),
        pytest.param("x" * 65, False, id="too-long"),
        pytest.param("a b", False, id="space"),
        pytest.param("a\r\nSet-Cookie: b", False, id="header"),
        pytest.param("", False, id="empty"),
        pytest.param(None, False, id="none"),
    ],
)
def test_request_id_is_taken_if_it_is_harmless(sent, is_taken):
    taken = accepted_id(sent)
    assert (taken == sent) == is_taken
    assert accepted_id(taken) == taken


@given(st.text(), st.text(), st.text())
def test_nothing_in_a_line_is_a_control_of_a_terminal(path, project, reason):
    fault = Fault(code="prompt", reason=reason, message=reason, remedy=project)
    request = record(path=path, project=project, status=422)
    request.fault = fault
    with pytest.MonkeyPatch.context() as patch:
        written = []
        patch.setattr("backend.monitoring.request_log.log.log", lambda *line: written.append(line))
        log_request(request)
    ((_, form, text),) = written
    assert (form % text).isprintable()
    assert "\x1b" not in logfmt([("task", "\x1b[2J\x9b31m\u202e")])
