import sys

try:
    from backend.cli import main  # takes seconds, in which Ctrl-C must not look like a crash

    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(130)
