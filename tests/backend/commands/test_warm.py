import threading
from contextlib import closing, suppress

import pytest
from fake_model import FakePredictor, png
from fake_project import FakeProject

from backend.cli import main
from backend.commands.warm import run_warm
from backend.core.errors import BackendError, LabelStudioError, SettingsError
from backend.label_studio import projects
from backend.segmentation.click_service import ClickService
from backend.settings.settings import Settings
from benchmarks.key_points import key_point

DEADLINE_S = 10


@pytest.fixture
def label_studio():
    with FakeProject(tasks=7).running() as project:
        yield project


@pytest.fixture
def settings(label_studio, tmp_path):
    return label_studio.service_settings(cache_dir=str(tmp_path / "cache"))


def warm(settings, predictor, **options):
    return run_warm(settings, predictor=predictor, **({"project_id": 7, "workers": 2} | options))


def numbers(counts):
    return counts.embedded, counts.there, counts.failed


def test_every_image_of_a_project_is_embedded_once(settings, label_studio, predictor):
    assert numbers(warm(settings, predictor)) == (7, 0, 0)
    assert len(predictor.embedded) == 7
    assert sorted(label_studio.fetched()) == sorted(label_studio.tasks)


def test_first_click_after_warming_runs_no_encoder(settings, label_studio, predictor):
    counts = warm(settings, predictor)
    assert counts.bytes > 0
    service = FakePredictor()
    with closing(ClickService(service, settings)) as click_service:
        for task_id, data in label_studio.tasks.items():
            (answer,) = click_service.predict(
                tasks=[{"id": task_id, "data": data}],
                project="7.1795350403",
                label_config=projects.LABELING_CONFIG,
                context=[key_point((30, 20), (40, 60))],
            )
            assert answer["result"]
    assert service.embedded == []


def test_second_run_fetches_and_embeds_nothing_again(settings, label_studio, predictor):
    warm(settings, predictor)
    label_studio.requests.clear()
    predictor.embedded.clear()
    label_studio.tasks[999] = {"image": "/data/upload/7/999.png"}
    label_studio.pages["/data/upload/7/999.png"] = png(40, 60, color=(9, 9, 9))
    assert numbers(warm(settings, predictor)) == (1, 7, 0)
    assert label_studio.fetched() == [999]
    assert len(predictor.embedded) == 1


def test_embedding_that_was_lost_is_made_again(settings, label_studio, predictor, tmp_path):
    warm(settings, predictor)
    largest = max(tmp_path.glob("cache/*/*"), key=lambda path: path.stat().st_size)
    largest.unlink()
    assert numbers(warm(settings, predictor)) == (1, 6, 0)


def test_image_of_several_tasks_is_embedded_once(settings, label_studio, predictor):
    label_studio.pages |= dict.fromkeys(
        (data["image"] for data in label_studio.tasks.values()), png(40, 60)
    )
    assert numbers(warm(settings, predictor)) == (1, 6, 0)


def test_every_page_of_a_list_of_images_is_embedded(settings, label_studio, predictor, capsys):
    images = [data["image"] for data in label_studio.tasks.values()]
    label_studio.tasks = {1: {"image": images[:3]}, 2: {"image": images[3]}, 3: {"image": []}}
    assert numbers(warm(settings, predictor)) == (4, 0, 0)
    assert "4/4" in capsys.readouterr().err


def test_every_item_of_a_repeater_is_embedded(settings, label_studio, predictor, capsys):
    images = [data["image"] for data in label_studio.tasks.values()]
    label_studio.tasks = {1: {"pages": images[:3]}, 2: {"pages": images[3:4]}, 3: {"pages": []}}
    label_studio.labeling_config = """<View><Repeater on="$pages">
      <Image name="page_{{idx}}" value="$pages[{{idx}}]"/>
      <KeyPoint name="point_{{idx}}" toName="page_{{idx}}"/>
      <Brush name="mask_{{idx}}" toName="page_{{idx}}"/></Repeater></View>"""
    assert numbers(warm(settings, predictor)) == (4, 0, 0)
    assert "4/4" in capsys.readouterr().err


def test_image_that_cannot_be_used_is_counted_and_named(settings, label_studio, predictor, capsys):
    label_studio.pages["/data/upload/7/103.png"] = b"<html>"
    del label_studio.pages["/data/upload/7/105.png"]
    label_studio.tasks[106] = {}
    assert numbers(warm(settings, predictor)) == (4, 0, 3)
    shown = capsys.readouterr().err
    assert "task 103: cannot decode image of task 103" in shown
    assert "task 106 has no image in 'image'" in shown
    assert "3 failed" in shown


def test_progress_shows_images_per_second_and_time_left(settings, predictor, capsys):
    warm(settings, predictor)
    last = capsys.readouterr().err.rstrip().rpartition("\r")[2]
    assert "7/7 [" in last
    assert "images/s" in last or "s/ images" in last
    assert "<" in last


def test_interrupted_run_keeps_what_it_did(settings, label_studio, predictor, capsys):
    class Interrupted(FakePredictor):
        def embed(self, image):
            if len(self.embedded) == 3:
                raise KeyboardInterrupt
            return super().embed(image)

    with pytest.raises(KeyboardInterrupt):
        warm(settings, Interrupted())
    assert "stopped; the same command goes on from here" in capsys.readouterr().err
    assert numbers(warm(settings, predictor)) == (4, 3, 0)


def test_workers_fetch_at_once(settings, label_studio, predictor):
    together = threading.Barrier(3, timeout=DEADLINE_S)

    def page(path, content):
        def answer(handler):
            with suppress(threading.BrokenBarrierError):
                together.wait()
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)

        return answer

    label_studio.tasks = dict(list(label_studio.tasks.items())[:6])
    label_studio.pages = {path: page(path, content) for path, content in label_studio.pages.items()}
    assert numbers(warm(settings, predictor, workers=3)) == (6, 0, 0)
    assert not together.broken


def test_redis_is_warmed_too(settings, label_studio, predictor, redis_process):
    settings = Settings(
        label_studio_url=settings.label_studio_url,
        label_studio_api_key=settings.label_studio_api_key,
        redis_url=redis_process.url,
    )
    assert numbers(warm(settings, predictor)) == (7, 0, 0)
    assert numbers(warm(settings, predictor)) == (0, 7, 0)
    assert len(label_studio.fetched()) == 7


def test_tiers_that_take_nothing_end_the_run(settings, predictor, monkeypatch, caplog):
    def full(_path, _value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("backend.embeddings.tiers.disk._write", full)
    with pytest.raises(BackendError, match="no embedding can be kept"):
        warm(settings, predictor)
    assert len(predictor.embedded) <= 7
    assert len(caplog.records) == 1


def test_folder_that_is_too_small_for_the_project_is_said_early(
    settings, label_studio, predictor, capsys, monkeypatch
):
    monkeypatch.setattr("backend.commands.warm.MEGABYTE", 1)
    warm(settings, predictor)
    assert "MOBILESAM_CACHE_DIR_MB=20000 has room for 2 of 7 images" in capsys.readouterr().err


def test_without_a_tier_the_error_says_what_to_set(predictor):
    with pytest.raises(SettingsError) as caught:
        warm(Settings(), predictor)
    tiers, label_studio = caught.value.message.splitlines()
    assert tiers.startswith("neither MOBILESAM_CACHE_DIR nor MOBILESAM_REDIS_URL is set")
    assert label_studio == "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are not both set"


def test_project_that_is_not_there_is_named(settings, label_studio, predictor):
    label_studio.api_fault = (404, {"Content-Type": "application/json"}, b'{"detail": "Not found"}')
    with pytest.raises(LabelStudioError, match=r"404 to /api/projects/7/: Not found"):
        warm(settings, predictor)


class TestCommand:
    @pytest.fixture(autouse=True)
    def environment(self, settings, monkeypatch):
        monkeypatch.setenv("LABEL_STUDIO_URL", settings.label_studio_url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", settings.label_studio_api_key)
        monkeypatch.setenv("MOBILESAM_CACHE_DIR", settings.cache_dir)
        monkeypatch.setenv("MOBILESAM_CHECKPOINT", "demo")

    def test_command_embeds_with_the_weights_of_the_settings(
        self, capsys, settings, label_studio, demo_predictor
    ):
        assert main(["warm", "--project", "7", "--workers", "1"]) == 0
        assert capsys.readouterr().out.startswith("7 images embedded (")
        with closing(ClickService(demo_predictor, settings)) as click_service:
            click_service.predict(
                tasks=[{"id": 101, "data": label_studio.tasks[101]}],
                project="7.1",
                label_config=projects.LABELING_CONFIG,
                context=[key_point((30, 20), (40, 60))],
            )
            assert click_service.describe()["cache"]["disk"]["hits"] == 1

    def test_failed_images_are_the_exit_status(self, label_studio, capsys):
        del label_studio.pages["/data/upload/7/105.png"]
        assert main(["warm", "--project", "7"]) == 1
        assert "1 failed" in capsys.readouterr().out

    def test_missing_tier_is_exit_status_2(self, monkeypatch, capsys):
        monkeypatch.delenv("MOBILESAM_CACHE_DIR")
        assert main(["warm", "--project", "7"]) == 2
        assert "neither MOBILESAM_CACHE_DIR nor MOBILESAM_REDIS_URL" in capsys.readouterr().err

    @pytest.mark.parametrize("workers", ["0", "-1", "many"])
    def test_number_of_workers_is_checked(self, workers, capsys):
        with pytest.raises(SystemExit):
            main(["warm", "--project", "7", "--workers", workers])
        assert "--workers" in capsys.readouterr().err
