"""From somebody's own project to the first mask: `connect` makes the chain, `check` walks it."""
