"""The command lines of python -m backend."""
