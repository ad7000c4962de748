"""What a real Label Studio sent, changed until it is wrong: in its values, as text, as bytes."""

import copy
import gzip
import json
import re
import resource

import numpy as np
import pytest
from fuzzed_service import example_settings
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from recordings import recorded_requests

REQUESTS = {
    name: (request["path"], request["body"])
    for name, request in recorded_requests().items()
    if request.get("body")
}
IN_FIXTURE = settings(
    **example_settings(300), suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# Values


def nested(depth, innermost=0):
    for _ in range(depth):
        innermost = [innermost]
    return innermost


numbers = st.one_of(
    st.integers(-3, 103),
    st.sampled_from([-(2**63), 2**63, 2**64 - 1, 2**64, 10**400, 1e308, 5e-324, -0.0]),
    st.floats(-200, 200),
    st.floats(allow_nan=True, allow_infinity=True),
)
texts = st.one_of(
    st.sampled_from(["", "Cat", "image", "keypointlabels", "rectangle", "labels", "\0", "$image"]),
    st.text(max_size=20),
    st.integers(1, 100_000).map("x".__mul__),
)
odd_values = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    texts,
    st.lists(st.one_of(numbers, texts), max_size=3),
    st.dictionaries(texts, numbers, max_size=3),
    st.sampled_from([10, 500, 1000]).map(nested),
)


def places(value, path=()):
    """The ways to every value in a body, the body's own first."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


@st.composite
def changed_bodies(draw):
    path, body = REQUESTS[draw(st.sampled_from(sorted(REQUESTS)))]
    body = copy.deepcopy(body)
    for _ in range(draw(st.integers(1, 3))):
        # What is read is more often changed than what is not.
        everywhere = list(places(body))
        read = [place for place in everywhere if {"context", "id", "label_config"} & {*place}]
        place = draw(st.sampled_from(draw(st.sampled_from([everywhere, read or everywhere]))))
        if not place:
            return path, draw(odd_values)
        parent = body
        for key in place[:-1]:
            parent = parent[key]
        change = draw(st.sampled_from(["drop", "replace", "wrap", "repeat"]))
        if change == "drop":
            del parent[place[-1]]
        elif change == "replace":
            parent[place[-1]] = draw(odd_values)
        elif change == "wrap":
            parent[place[-1]] = draw(
                st.sampled_from([[parent[place[-1]]], {"": parent[place[-1]]}])
            )
        elif isinstance(parent, list):
            parent += [copy.deepcopy(parent[place[-1]])] * draw(st.sampled_from([1, 5, 50]))
    return path, body


@IN_FIXTURE
@given(request=changed_bodies())
def test_recorded_request_with_other_values_is_answered_or_named(service, request):
    path, body = request
    service.send(path, data=json.dumps(body), content_type="application/json")


@IN_FIXTURE
@given(
    kind=st.sampled_from(["kp_1_positive", "kp_2_positive_1_negative", "rect_1", "rect_rotated"]),
    numbers=st.dictionaries(
        st.sampled_from(["x", "y", "width", "height", "rotation"]), numbers, min_size=1
    ),
)
@example("rect_1", {"width": 0})
@example("rect_1", {"width": -10.0, "height": -10.0})
@example("rect_1", {"width": 5e-324, "height": 5e-324})
@example("rect_rotated", {"rotation": 1e308})
@example("kp_1_positive", {"x": -0.5, "y": 100.5})
def test_any_number_of_a_shape_is_answered_or_named(service, kind, numbers):
    path, body = copy.deepcopy(REQUESTS[kind])
    body["params"]["context"]["result"][-1]["value"].update(numbers)
    response = service.send(path, data=json.dumps(body))
    if response.status_code == 400:  # NaN and Infinity are no JSON, and huge numbers none of ours
        assert response.json["error"]["reason"] == "Body is not a JSON object"
        assert any(abs(n) > 1e308 or n != n for n in numbers.values())  # noqa: PLR0124 - NaN
    elif response.status_code == 200:
        shape = numbers if kind.startswith("kp") else {}
        assert all(-1 <= shape[name] <= 101 for name in ("x", "y") if name in shape)


# Text


@st.composite
def changed_texts(draw):
    path, body = REQUESTS[draw(st.sampled_from(sorted(REQUESTS)))]
    text = json.dumps(body)
    spans = [match.span() for match in re.finditer(r'-?\d+(\.\d+)?|"[^"\\]*"|null|true', text)]
    for start, end in sorted(draw(st.lists(st.sampled_from(spans), max_size=3)), reverse=True):
        token = draw(
            st.sampled_from(
                [
                    *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" * 5000, "0x10", "01"),
                    *(r'"\ud800"', r'"\udc00\ud800"', r'"\u0000"', '"\t"', "'a'", "undefined", ""),
                    *("{}" * 3, "[" * 2000, "]", '{"id":1,"id":2}', '"type":"keypoint","type":1'),
                ]
            )
        )
        text = text[:start] + token + text[end:]
    return path, text


@IN_FIXTURE
@given(request=changed_texts())
def test_text_that_is_hardly_json_is_answered_or_named(service, request):
    path, text = request
    service.send(path, data=text.encode(), content_type="application/json")


def test_last_of_two_equal_keys_counts(service):
    path, body = REQUESTS["kp_1_positive"]
    text = json.dumps(body).replace('"is_positive": true', '"is_positive": 5, "is_positive": true')
    assert service.send(path, data=text).status_code == 200
    text = json.dumps(body).replace('"is_positive": true', '"is_positive": true, "is_positive": 5')
    assert service.send(path, data=text).status_code == 400


# Bytes


@st.composite
def changed_bytes(draw):
    path, body = REQUESTS[draw(st.sampled_from(sorted(REQUESTS)))]
    data = bytearray(json.dumps(body).encode())
    for _ in range(draw(st.integers(0, 5))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))
    return path, bytes(data[:cut])


headers = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from(
            [
                *("text/plain", "application/json; charset=utf-16", "application/xml", ";;", "a/b"),
                *("multipart/form-data", "multipart/form-data; boundary=x"),
                *("application/x-www-form-urlencoded", "application/json;" * 500),
            ]
        ),
        "Content-Encoding": st.sampled_from(["gzip", "br", "deflate", "nothing"]),
        "Accept": st.sampled_from(["text/html", "image/png", "*/*;q=0", ",,;q=x", "x" * 5000]),
        "X-Request-ID": st.sampled_from(["", "a" * 65, "a\tb", "\xe4", "../..", "ok-1"]),
        "Authorization": st.sampled_from(["Basic", "Bearer x", "Basic \xff", "Negotiate"]),
        "Range": st.sampled_from(["bytes=0-", "bytes=9-1", "lines=1"]),
        "Cookie": st.sampled_from(["a=b", "=;;", "\xff=\x01"]),
        "X-Forwarded-For": st.sampled_from(["127.0.0.1", "x" * 5000]),
        "Expect": st.sampled_from(["100-continue", "200-ok"]),
    },
)


@IN_FIXTURE
@given(request=changed_bytes(), headers=headers)
def test_damaged_bytes_and_odd_headers_are_answered_or_named(service, request, headers):
    path, data = request
    service.send(path, data=data, headers=headers)


@pytest.mark.parametrize(
    "encode",
    [
        pytest.param(lambda text: gzip.compress(text.encode()), id="gzip"),
        pytest.param(lambda text: text.encode("utf-16"), id="utf-16"),
        pytest.param(lambda text: text.encode("utf-32"), id="utf-32"),
        pytest.param(lambda text: b"\xef\xbb\xbf" + text.encode(), id="byte-order-mark"),
        pytest.param(lambda text: text.encode() + b"\0", id="nul-at-the-end"),
        pytest.param(lambda _: gzip.compress(b" " * 10**7), id="gzip-bomb"),
    ],
)
def test_body_that_is_no_json_in_utf_8_is_named(service, encode):
    for path, body in REQUESTS.values():
        response = service.send(path, data=encode(json.dumps(body)))
        assert response.json["error"]["reason"] == "Body is not a JSON object"


# Many


def click_of(count):
    path, body = copy.deepcopy(REQUESTS["kp_1_positive"])
    result = body["params"]["context"]["result"]
    result += [{**result[0], "id": f"p{n}"} for n in range(count - 1)]
    return path, body


def test_ten_thousand_points_are_more_than_a_click_has(service):
    path, body = click_of(10_000)
    response = service.send(path, json=body)
    assert response.status == "413 Too many regions: 10000, at most 1000"


def test_as_many_points_as_the_setting_allows_are_answered(service):
    path, body = click_of(1000)
    assert service.send(path, json=body).status_code == 200


def test_ten_thousand_points_are_decoded_in_little_memory(demo_predictor):
    """Where the setting is raised; attention of each point to each would take gigabytes."""
    embedding = demo_predictor.embed(np.zeros((90, 120, 3), np.uint8))
    points_xy = np.random.default_rng(0).uniform((0, 0), (120, 90), (10_000, 2)).tolist()
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    masks = demo_predictor.predict_object(
        embedding, points_xy=points_xy, point_labels=[1] * len(points_xy)
    )
    assert masks.masks.shape == (1, 90, 120)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 500_000


def test_thousands_of_odd_tasks_are_taken(service):
    path, body = copy.deepcopy(REQUESTS["predict_batch"])
    odd = [None, 1, "", [], {}, {"image": None}, {"image": 5}, {"image": []}, {"image": {}}]
    body["tasks"] = [{"id": -n, "data": odd[n % len(odd)]} for n in range(5000)]
    assert service.send(path, json=body).json == {"results": []}
