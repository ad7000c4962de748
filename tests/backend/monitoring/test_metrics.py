import threading

import pytest
from clicks import click
from fake_model import FakePredictor
from prometheus_client.parser import text_string_to_metric_families

from backend.core.errors import ImageUnreachableError
from backend.segmentation.click_service import ClickService
from backend.service.app import create_app
from backend.settings.settings import Settings

DEADLINE_S = 10


def figures(client, **labels):
    """Sample name -> value, of the samples that have these labels."""
    response = client.get("/metrics")
    assert response.status_code == 200
    samples = [s for f in text_string_to_metric_families(response.text) for s in f.samples]
    return {s.name: s.value for s in samples if labels.items() <= s.labels.items()}


def test_metrics_are_in_prometheus_format(client):
    response = client.get("/metrics")
    assert response.content_type.startswith("text/plain; version=")
    assert list(text_string_to_metric_families(response.text))


@pytest.mark.parametrize("accept", ["application/openmetrics-text;version=x", "text/html", ""])
def test_metrics_are_plain_text_whatever_is_asked_for(client, accept):
    response = client.get("/metrics", headers={"Accept": accept})
    assert response.status_code == 200
    assert response.content_type.startswith("text/plain; version=")


def test_clicks_are_counted_by_path_and_outcome(client):
    click(client)
    click(client)
    click(client, prompted=False)
    masks = figures(client, path="/predict", outcome="mask")
    assert masks["mobilesam_requests_total"] == 2
    assert masks["mobilesam_request_duration_seconds_count"] == 2
    prepared = figures(client, path="/predict", outcome="prepared")
    assert prepared["mobilesam_requests_total"] == 1
    assert figures(client, kind="points")["mobilesam_prompts_total"] == 2
    assert figures(client)["mobilesam_masks_total"] == 2


def test_steps_are_timed_once_each(client):
    click(client)
    click(client)
    counts = {
        step: figures(client, step=step)["mobilesam_step_duration_seconds_count"]
        for step in ("fetch", "load", "wait", "decode", "encode", "mask", "codec")
    }
    assert counts == {
        "fetch": 1,
        "load": 0,
        "wait": 1,
        "decode": 1,
        "encode": 1,
        "mask": 2,
        "codec": 2,
    }


def test_embedding_in_the_background_is_timed_too(client, predictor):
    click(client, prompted=False)
    assert predictor.has_embedded.wait(DEADLINE_S)
    click(client)
    encode = figures(client, step="encode")
    assert encode["mobilesam_step_duration_seconds_count"] == len(predictor.embedded) == 1


def test_embeddings_are_counted_by_what_had_them(client):
    click(client)
    click(client)
    click(client)
    assert figures(client, tier="encoder")["mobilesam_embeddings_served_total"] == 1
    assert figures(client, tier="memory")["mobilesam_embeddings_served_total"] == 2


def test_cache_shows_its_tiers(predictor, images, tmp_path):
    settings = Settings(prefetch_tasks=0, cache_mb=16, cache_dir=str(tmp_path), cache_dir_mb=20)
    click_service = ClickService(predictor, settings)
    client = create_app(settings, click_service=click_service).test_client()
    click(client)
    click(client)
    memory = figures(client, tier="memory")
    assert memory["mobilesam_cache_entries"] == 1
    assert memory["mobilesam_cache_bytes"] == 1000
    assert memory["mobilesam_cache_max_bytes"] == 16 * 2**20
    assert memory["mobilesam_cache_hits_total"] == 1
    disk = figures(client, tier="disk")
    assert disk["mobilesam_cache_max_bytes"] == 20 * 2**20
    assert disk["mobilesam_cache_misses_total"] == 1
    click_service.close()


def test_failures_are_counted_by_code(client, images):
    images["/a.png"] = ImageUnreachableError("no", remedy="do")
    click(client)
    click(client)
    assert figures(client, code="image_unreachable")["mobilesam_failures_total"] == 2
    refused = figures(client, path="/predict", outcome="refused")
    assert refused["mobilesam_requests_total"] == 2


def test_unknown_paths_and_methods_share_one_label(client):
    for number in range(20):
        client.get(f"/nothing-{number}")
        client.open("/predict", method=f"X{number}")
    metrics = client.get("/metrics").text
    assert "nothing-" not in metrics
    assert figures(client, path="other", outcome="refused")["mobilesam_requests_total"] == 40


def test_clicks_that_wait_for_their_image_are_counted(client, predictor):
    thread = threading.Thread(target=click, args=(client,))
    with predictor.held() as has_begun:
        thread.start()
        assert has_begun.wait(DEADLINE_S)
        waiting = figures(client)
    thread.join()
    assert waiting["mobilesam_clicks_waiting"] == 1
    assert waiting["mobilesam_encoder_waiting_images"] == 1
    assert figures(client)["mobilesam_clicks_waiting"] == 0


def test_model_and_process_are_described(client):
    found = figures(client)
    assert found["process_resident_memory_bytes"] > 0
    assert found["process_open_fds"] > 0
    assert found["mobilesam_threads"] >= threading.active_count()
    model = figures(client, model_version="fake-1", device="cpu", runtime="fake")
    assert model == {"mobilesam_model_info": 1}


def test_apps_count_for_themselves(client, images):
    click(client)
    other = ClickService(FakePredictor(), Settings(prefetch_tasks=0))
    other_client = create_app(Settings(), click_service=other).test_client()
    assert figures(other_client, path="/predict") == {}


def test_metrics_need_the_credentials(click_service):
    settings = Settings(basic_auth_user="anna", basic_auth_pass="pass")
    client = create_app(settings, click_service=click_service).test_client()
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", auth=("anna", "pass")).status_code == 200
