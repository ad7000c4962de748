"""What the service does, for those who look after it."""

from collections.abc import Callable
from typing import Any

from backend.metrics import Metrics
from backend.request_record import RequestRecord


class Activity:
    """Takes in what happens and tells of it; safe under threads.

    Args:
        describe: as for `Metrics`.
    """

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self.metrics = Metrics(describe)

    def answered(self, record: RequestRecord) -> None:
        """Take in a request that is answered."""
        self.metrics.count_request(record)
