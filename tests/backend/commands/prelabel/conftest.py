import pytest
from fake_project import FakeProject
from prelabelling import annotation, rectangle


@pytest.fixture
def label_studio():
    with FakeProject(tasks=7).running() as project:
        for task_id in project.tasks:
            project.annotations[task_id] = [annotation(rectangle(), rectangle(x_pct=50))]
        yield project


@pytest.fixture
def settings(label_studio, tmp_path):
    return label_studio.service_settings(cache_dir=str(tmp_path / "cache"))
