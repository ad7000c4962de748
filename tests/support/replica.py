"""A service without a server, one of several that share a cache."""

from backend.codecs.brush import decode_brush
from backend.label_studio import projects
from backend.segmentation.click_service import ClickService
from backend.service.app import create_app
from benchmarks.key_points import key_point

SIZE_HW = (100, 200)


class Replica:
    """A service with a predictor of its own, asked as Label Studio asks it."""

    def __init__(self, predictor, settings):
        self.predictor = predictor
        self.click_service = ClickService(predictor, settings)
        self.client = create_app(settings, click_service=self.click_service).test_client()

    def close(self):
        self.click_service.close()

    def click(
        self, photo="/data/upload/1/a.jpg", size_hw=SIZE_HW, xy=(60, 50), earlier=(), **point
    ):
        points = [key_point(other_xy, size_hw) for other_xy in earlier]
        points.append(key_point(xy, size_hw) | point)
        body = {
            "tasks": [{"id": 4, "data": {"image": photo}}],
            "project": "1.0",
            "label_config": projects.LABELING_CONFIG,
            "params": {"context": {"result": points}},
        }
        response = self.client.post("/predict", json=body)
        assert response.status_code == 200, response.text
        (region,) = response.json["results"][0]["result"]
        return decode_brush(region["value"]["rle"], *size_hw)

    def tier(self, name):
        return self.client.get("/health").json["cache"][name]
