"""`connect` against a Label Studio and a backend on loopback, and who answers its questions."""

import pytest
from fake_ml_project import FakeMlProject, running_backend, set_command_environment

from backend import cli
from backend.commands.connect import terminal

OWN_CONFIG = """\
<View>
  <!-- the clinic's -->
  <Image name="photo" value="$image"/>
  <PolygonLabels name="shape" toName="photo"><Label value="Cat" background="red"/></PolygonLabels>
</View>
"""


@pytest.fixture
def label_studio():
    with FakeMlProject(OWN_CONFIG).running() as host:
        yield host


@pytest.fixture
def backend(label_studio):
    with running_backend(label_studio) as backend:
        yield backend


@pytest.fixture
def connect(label_studio, backend, monkeypatch, capsys):
    """Runs the command and returns (exit status, what it said)."""
    set_command_environment(monkeypatch, label_studio)

    def run(*arguments, project=("--project", "7"), url=("--backend-url", backend.url)):
        status = cli.main(["connect", *project, *url, *arguments])
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


@pytest.fixture
def answers(monkeypatch):
    """What somebody at a terminal types, and the questions that were asked."""

    class Answers:
        typed = ()
        questions = ()

    answers = Answers()

    def answer(question=""):
        answers.questions += (question,)
        if not answers.typed:
            raise EOFError
        first, *rest = answers.typed
        answers.typed = tuple(rest)
        return first

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr(terminal.getpass, "getpass", answer)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    return answers
