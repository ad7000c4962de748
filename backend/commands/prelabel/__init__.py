"""Tasks that have masks before anybody opens them: `python -m backend prelabel`."""
