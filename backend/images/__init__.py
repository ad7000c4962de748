"""From a task's image address to pixels."""
