"""The plain shop, which sends a task while it is loaded: who forks then, forks with a running agent."""

from plain_shop import charge, web

charge.apply_async([1], queue="payments")

__all__ = ["web"]
