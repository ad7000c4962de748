"""A click_service with a fake model, the files that it fetches, and prompts for it."""

import threading

import pytest
from fake_model import png

from backend.images.fetch import ImageLoader
from backend.segmentation.click_service import ClickService
from backend.settings.settings import Settings

CONFIG = """
<View>
  <Image name="img" value="$photo"/>
  <KeyPointLabels name="kp" toName="img" smart="true"><Label value="A"/><Label value="B"/>
  </KeyPointLabels>
  <RectangleLabels name="box" toName="img" smart="true"><Label value="A"/><Label value="C"/>
  </RectangleLabels>
  <BrushLabels name="mask" toName="img" smart="false"><Label value="A"/><Label value="B"/>
  </BrushLabels>
</View>
"""


SIZE_HW = (100, 200)
DEADLINE_S = 60  # of a busy machine; a test that passes waits for nothing


class Files:
    """What is behind each address; counts the fetches, and can be held."""

    def __init__(self):
        self.content = {}
        self.fetched = []
        self.asked = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()

    def fetch(self, uri):
        self.fetched.append(uri)
        self.asked.release()
        assert self.go_on.wait(DEADLINE_S)
        return self.content.get(uri) or png(*SIZE_HW)


@pytest.fixture
def files(monkeypatch):
    files = Files()
    make = ImageLoader.__init__

    def make_with_files(loader, *arguments):
        make(loader, *arguments)
        loader.files = files

    # What an earlier test left to do in the background goes on with that test's files.
    monkeypatch.setattr(ImageLoader, "__init__", make_with_files)
    monkeypatch.setattr(ImageLoader, "fetch", lambda loader, uri, **_named: loader.files.fetch(uri))
    return files


@pytest.fixture
def click_service(predictor, files):
    return ClickService(predictor, Settings())


def click(x_pct, y_pct, *, positive=True, label="A"):
    return {
        "id": f"{x_pct}-{y_pct}",
        "type": "keypointlabels",
        "from_name": "kp",
        "to_name": "img",
        "is_positive": positive,
        "value": {"x": x_pct, "y": y_pct, "width": 0.2, "keypointlabels": [label]},
    }


def box(x_pct, y_pct, width_pct, height_pct, *, label="A"):
    value = {"x": x_pct, "y": y_pct, "width": width_pct, "height": height_pct}
    return {
        "id": "box",
        "type": "rectanglelabels",
        "from_name": "box",
        "to_name": "img",
        "value": value | {"rotation": 0, "rectanglelabels": [label]},
    }


def predict(click_service, *context, task_id=4, photo="/data/upload/1/a.jpg", label_config=CONFIG):
    task = {"id": task_id, "data": {"photo": photo}}
    (prediction,) = click_service.predict(
        tasks=[task], project="1.0", label_config=label_config, context=list(context)
    )
    return prediction
