"""What the service did and how long it took: log, figures, latest clicks and failures."""
