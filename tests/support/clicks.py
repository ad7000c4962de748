"""A click as Label Studio sends it, on the demo's labeling config."""

from backend.label_studio.projects import LABELING_CONFIG


def click(client, *, image="/a.png", positive=True, prompted=True, **request):
    region = {
        "id": "r",
        "type": "keypointlabels",
        "from_name": "point",
        "to_name": "image",
        "is_positive": positive,
        "value": {"x": 20, "y": 20, "width": 0.2, "keypointlabels": ["Object"]},
    }
    body = {
        "tasks": [{"id": 4, "data": {"image": image}}],
        "project": "1.1795350403",
        "label_config": LABELING_CONFIG,
        "params": {"context": {"result": [region]}} if prompted else {},
    }
    return client.post("/predict", json=body, **request)
