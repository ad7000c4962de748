import pytest

from backend.errors import SettingsError
from backend.settings import Settings


def test_settings_have_defaults_for_everything():
    settings = Settings.from_environment({})
    assert settings.port == 9090
    assert settings.checkpoint == "official"
    assert settings.label_studio_url is None


def test_settings_read_every_variable():
    settings = Settings.from_environment(
        {
            "LABEL_STUDIO_URL": "http://ls:8080/",
            "LABEL_STUDIO_API_KEY": "key",
            "BASIC_AUTH_USER": "user",
            "BASIC_AUTH_PASS": "pass",
            "LOG_LEVEL": "debug",
            "PORT": "9999",
            "THREADS": "8",
            "MOBILESAM_CHECKPOINT": "demo",
            "MOBILESAM_DEVICE": "cpu",
            "MOBILESAM_CACHE_MB": "64",
            "MOBILESAM_MAX_IMAGE_MB": "5",
            "MOBILESAM_MAX_PIXELS": "1000",
            "MOBILESAM_FETCH_TIMEOUT_S": "2.5",
        }
    )
    assert settings == Settings(
        label_studio_url="http://ls:8080",
        label_studio_api_key="key",
        basic_auth_user="user",
        basic_auth_pass="pass",
        log_level="DEBUG",
        port=9999,
        threads=8,
        checkpoint="demo",
        device="cpu",
        cache_mb=64,
        max_image_mb=5,
        max_pixels=1000,
        fetch_timeout_s=2.5,
    )


def test_settings_report_all_mistakes_together():
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(
            {
                "PORT": "70000",
                "MOBILESAM_CACHE_MB": "lots",
                "LABEL_STUDIO_URL": "localhost:8080",
                "MOBILESAM_FETCH_TIMEOUT_S": "nan",
                "LOG_LEVEL": "LOUD",
            }
        )
    assert caught.value.message.splitlines() == [
        "LABEL_STUDIO_URL='localhost:8080' is not a URL such as http://localhost:8080",
        "LOG_LEVEL='LOUD' is not one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
        "PORT='70000' is not between 1 and 65535 ports",
        "MOBILESAM_CACHE_MB='lots' is not a whole number of megabytes",
        "MOBILESAM_FETCH_TIMEOUT_S='nan' is not between 0 and 600 seconds",
    ]


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        pytest.param({"BASIC_AUTH_USER": "u"}, "BASIC_AUTH_USER and BASIC_AUTH_PASS", id="no-pass"),
        pytest.param({"BASIC_AUTH_PASS": "p"}, "BASIC_AUTH_USER and BASIC_AUTH_PASS", id="no-user"),
        pytest.param({"LABEL_STUDIO_API_KEY": "k"}, "LABEL_STUDIO_URL is not", id="key-for-nobody"),
    ],
)
def test_settings_that_need_each_other_are_refused_alone(environment, problem):
    with pytest.raises(SettingsError, match=problem):
        Settings.from_environment(environment)


def test_empty_variables_count_as_not_set():
    assert Settings.from_environment({"PORT": "", "LABEL_STUDIO_URL": " "}) == Settings()
