"""What each recorded request asks for."""

import pytest
from prompting import clicks, drag, recorded
from recordings import recorded_requests

from backend.labeling.read_prompts import read_prompts

# What each recorded request asks for.
RECORDED = {
    "kp_1_positive": [clicks((50.049950049950056, 39.94338994338994))],
    "kp_2_positive": [
        clicks((50.049950049950056, 39.94338994338994), (60.03996003996005, 45.004995004995))
    ],
    "kp_2_positive_1_negative": [
        clicks(
            (50.049950049950056, 39.94338994338994),
            (60.03996003996005, 45.004995004995),
            negative=[(39.96003996003996, 60.05661005661006)],
        )
    ],
    "kp_after_accept": [clicks((29.970029970029966, 29.95337995337995))],
    "kp_after_plain_kp": [clicks((70.02997002997003, 70.04662004662005), labels=("Dog",))],
    "kp_after_reject": [clicks((29.970029970029966, 29.95337995337995))],
    "kp_autoaccept_second": [clicks((70.02997002997003, 29.95337995337995))],
    "kp_empty_result": [],
    "kp_exif_orientation_6": [clicks((24.937965260545905, 10.049627791563276))],
    "kp_external_url": [clicks((49.9586435070306, 30.024813895781637))],
    "kp_image_rotated_90": [
        clicks((23.976023976023978, 54.94505494505495), image_rotation=90),
    ],
    "kp_inside_accepted_mask_ctrl": [clicks((50.049950049950056, 39.94338994338994))],
    "kp_labels_tag": [clicks((50.049950049950056, 39.94338994338993))],
    "kp_multi_image_page_2": [
        clicks((29.939627049405143, 30.024813895781637), item_index=1),
    ],
    "kp_no_labels": [clicks((50.04945598417409, 40.042861852950864), labels=())],
    "kp_on_annotated_task": [clicks((24.97502497502497, 60.05661005661006))],
    "kp_other_label": [clicks((70.02997002997003, 29.95337995337995), labels=("Dog",))],
    "kp_s3": [clicks((50.0, 40.0))],
    "kp_then_rect": [
        drag(
            "aFMmeP50ZQ",
            (29.970029970029966, 29.95337995337995, 30.069930069930084, 40.0932400932401),
        )
    ],
    "kp_with_draft": [
        clicks((29.970029970029966, 29.95337995337995), (50.049950049950056, 50.06660006660007))
    ],
    "kp_with_draft_brush": [clicks((80.01998001998003, 29.95337995337995))],
    "predict_batch": [],
    "predict_local_files_basic_auth": [],
    "predict_open_data_manager": [],
    "predict_open_task": [],
    "predict_s3": [],
    "predict_test_request": [],
    "rect_1": [
        drag(
            "_gMeq3aHTK",
            (29.970029970029966, 29.95337995337995, 30.069930069930084, 40.0932400932401),
        )
    ],
    "rect_2_same_label": [
        drag(
            "_gMeq3aHTK",
            (29.970029970029966, 29.95337995337995, 30.069930069930084, 40.0932400932401),
        ),
        drag(
            "Be5Sz9an9Y",
            (65.03496503496504, 19.963369963369956, 24.97502497502498, 30.10323010323011),
        ),
    ],
    # The first is the plain one; nothing in it says so.
    "rect_after_plain_rect": [
        drag(
            "ya0_4cgfOW",
            (9.990009990009986, 9.973359973359965, 9.99000999000999, 9.990009990009991),
        ),
        drag(
            "WC4Zzg5Zu2",
            (39.96003996003996, 39.94338994338994, 20.079920079920093, 30.10323010323011),
        ),
    ],
    "rect_moved": [
        drag(
            "nkkDXnMiQu",
            (39.96003996003996, 39.94338994338995, 30.069930069930084, 40.0932400932401),
        )
    ],
    "rect_resized": [
        drag(
            "nkkDXnMiQu",
            (39.960039960040014, 39.943389943389974, 35.06493506493506, 33.966033966033955),
        )
    ],
    "rect_rotated": [
        drag(
            "O3HNo0lGyZ",
            (38.80799703055416, 24.925552204347895, 20.079920079920107, 30.103230103230167),
            rotation=37.085835490951865,
        )
    ],
    "rect_then_kp": [clicks((80.01998001998003, 50.06660006660007))],
    "rect_three_point": [
        drag(
            "xXAoGjtYRL",
            (29.970029970029966, 39.94338994338994, 21.432238775761597, 32.8603447166372),
            rotation=339.5377284765778,
        )
    ],
}


@pytest.mark.parametrize("name", recorded_requests("/predict"))
def test_recorded_request_gives_its_prompts(name):
    assert read_prompts(*recorded(name)) == RECORDED[name]
