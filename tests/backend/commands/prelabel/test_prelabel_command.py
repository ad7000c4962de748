"""The command line of `prelabel`, with the demo weights."""

import numpy as np
import pytest
from prelabelling import (
    annotation,
    rectangle,
)

from backend.cli import main
from backend.images.samples import png_bytes


class TestCommand:
    @pytest.fixture(autouse=True)
    def environment(self, settings, label_studio, monkeypatch):
        y, x = np.mgrid[0:400, 0:600]
        picture = np.full((400, 600, 3), 60, np.uint8)
        picture[np.hypot(x - 135, y - 200) < 70] = (220, 60, 60)
        for task_id, data in label_studio.tasks.items():
            label_studio.pages[data["image"]] = png_bytes(picture)
            label_studio.annotations[task_id] = [annotation(rectangle())]
        monkeypatch.setenv("LABEL_STUDIO_URL", settings.label_studio_url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", settings.label_studio_api_key)
        monkeypatch.setenv("MOBILESAM_CHECKPOINT", "demo")

    def test_command_says_what_it_did_and_how_annotators_see_it(self, capsys, label_studio):
        assert main(["prelabel", "--project", "7"]) == 0
        shown = capsys.readouterr()
        assert shown.out.startswith("7 masks in 7 tasks, 0 were done before")
        assert "annotators see none: choose 'mobilesam-demo-weights-" in shown.err
        assert main(["prelabel", "--project", "7", "--show"]) == 0
        assert "now; before, none" in capsys.readouterr().out
        assert label_studio.settings["model_version"].endswith("-prelabel-boxes")
        assert main(["prelabel", "--project", "7"]) == 0
        assert capsys.readouterr().err.count("annotators see") == 0

    def test_failures_are_the_exit_status(self, label_studio, capsys):
        del label_studio.pages["/data/upload/7/105.png"]
        assert main(["prelabel", "--project", "7"]) == 1
        assert "1 failed" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "wrong",
        [
            ["--workers", "0"],
            ["--points-per-side", "65"],
            ["--min-score", "nan"],
            ["--boxes", "drafts"],
            ["--everything", "--coco", "x.json"],
        ],
        ids=" ".join,
    )
    def test_arguments_are_checked(self, wrong, capsys):
        with pytest.raises(SystemExit):
            main(["prelabel", "--project", "7", *wrong])
        assert wrong[-2] in capsys.readouterr().err

    def test_label_studio_must_be_set(self, monkeypatch, capsys):
        monkeypatch.delenv("LABEL_STUDIO_URL")
        monkeypatch.delenv("LABEL_STUDIO_API_KEY")
        assert main(["prelabel", "--project", "7"]) == 1
        assert "LABEL_STUDIO_URL is not set" in capsys.readouterr().err
