"""Prints what Ultralytics' own loader reads of a YOLO folder, as JSON; its environment runs it."""

import json
import sys

from ultralytics.data.dataset import YOLODataset
from ultralytics.data.utils import check_det_dataset

data = check_det_dataset(sys.argv[1], autodownload=False)
read = {"names": data["names"]}
for split in ("train", "val"):
    dataset = YOLODataset(img_path=data[split], data=data, task="segment", augment=False)
    read[split] = {
        label["im_file"]: {
            "shape": label["shape"],
            "classes": label["cls"].ravel().tolist(),
            "boxes_xywh": label["bboxes"].tolist(),
            "segments": [segment.tolist() for segment in label["segments"]],
        }
        for label in dataset.labels
    }
print(json.dumps(read))
