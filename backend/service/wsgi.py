"""The app built from the environment, for a WSGI server of your own.

    gunicorn backend.service.wsgi:app

One process per GPU or machine: each loads the model and has its own cache. Give it threads,
and never `--preload`: torch's threads and the encoder's do not survive the fork.
"""

from backend.service.app import create_app
from backend.service.server import configure_logging
from backend.settings.settings import Settings

settings = Settings.from_environment()
configure_logging(settings.log_level)
app = create_app(settings)
