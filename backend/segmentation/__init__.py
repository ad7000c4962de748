"""From prompts to masks."""
