"""A task's image from its address to pixels, and how this service asks others over HTTP."""
