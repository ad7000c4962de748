"""Images of a Repeater: as many as a task's list has."""

from segmenting import DEADLINE_S, click

REPEATER = """<View><Repeater on="$pages" indexFlag="{{idx}}">
<Image name="page_{{idx}}" value="$pages[{{idx}}].url"/>
<KeyPointLabels name="kp_{{idx}}" toName="page_{{idx}}" smart="true"><Label value="A"/>
</KeyPointLabels>
<BrushLabels name="mask_{{idx}}" toName="page_{{idx}}" smart="false"><Label value="A"/>
</BrushLabels></Repeater></View>
"""
PAGES = {"id": 4, "data": {"pages": [{"url": f"/{number}.png"} for number in range(3)]}}


def test_click_on_an_item_of_a_repeater_is_answered_with_its_names(click_service, files):
    sent = click(20, 20) | {"from_name": "kp_1", "to_name": "page_1"}
    [prediction] = click_service.predict(
        tasks=[PAGES], project="1.0", label_config=REPEATER, context=[sent]
    )
    [region] = prediction["result"]
    assert (region["from_name"], region["to_name"]) == ("mask_1", "page_1")
    assert files.fetched == ["/1.png"]


def test_task_with_a_repeater_has_the_images_of_its_items_prepared(click_service, files):
    click_service.predict(tasks=[PAGES], project="1.0", label_config=REPEATER, context=None)
    for _ in range(3):
        assert files.asked.acquire(timeout=DEADLINE_S)
    assert sorted(files.fetched) == ["/0.png", "/1.png", "/2.png"]
