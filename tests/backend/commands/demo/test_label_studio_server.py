import stat
import venv

import pytest

from backend.commands.demo.label_studio_server import (
    VERSION,
    LabelStudioServer,
    Login,
    install_label_studio,
)
from backend.core.errors import BackendError


def test_login_is_made_once_for_its_owner_only(tmp_path):
    path = tmp_path / "credentials.json"
    login = Login.kept_in(path)
    assert Login.kept_in(path) == login
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(login.password) >= 12
    assert len(login.token) == 40


def test_logins_differ(tmp_path):
    assert Login.kept_in(tmp_path / "a") != Login.kept_in(tmp_path / "b")


def test_installation_that_is_complete_is_used(tmp_path, monkeypatch):
    monkeypatch.delattr(venv, "create")
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    (tmp_path / "venv" / f"label-studio-{VERSION}.installed").touch()
    assert install_label_studio(tmp_path / "venv") == python


def test_installation_that_failed_is_begun_anew(tmp_path, monkeypatch):
    """Twice: what the first left behind is no installation, and is cleared away."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    leftover = tmp_path / "venv" / "leftover"
    for _ in range(2):
        with pytest.raises(BackendError, match=f"pip could not install Label Studio {VERSION}"):
            install_label_studio(tmp_path / "venv")
        assert not leftover.exists()
        leftover.touch()


def test_server_gets_no_settings_that_were_meant_for_another(tmp_path, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_HOST", "https://labels.example.org")
    monkeypatch.setenv("HEARTEX_DJANGO_DB", "postgresql")
    server = LabelStudioServer(tmp_path / "python", tmp_path / "data", port=8080)
    assert server.environment["LABEL_STUDIO_HOST"] == ""
    assert "HEARTEX_DJANGO_DB" not in server.environment
    assert server.environment["LABEL_STUDIO_USER_TOKEN"] == server.login.token
    assert server.login.password not in " ".join(server.command)
