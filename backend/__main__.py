"""`python -m backend`, and `mobilesam-backend` where it is installed."""

import sys


def run() -> int:
    """Run the command line and return its exit status; Ctrl-C is no crash, nor while it starts."""
    try:
        from backend.cli import main  # noqa: PLC0415 - takes a while, in which Ctrl-C may come

        return main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(run())
