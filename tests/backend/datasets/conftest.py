import pytest
from fake_label_studio import Host


@pytest.fixture(autouse=True)
def _no_label_studio(monkeypatch):
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def host(monkeypatch):
    with Host().running() as host:
        monkeypatch.setenv("LABEL_STUDIO_URL", host.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0123456789abcdef")
        yield host
