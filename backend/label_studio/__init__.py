"""The Label Studio that tasks come from: its API, projects, tasks and records of backends."""
