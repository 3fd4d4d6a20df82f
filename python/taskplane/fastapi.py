"""``FastAPI(lifespan=taskplane.fastapi.lifespan)``. Settings are the environment's, or keyword arguments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from taskplane import _application
from taskplane._agent import AGENT

if TYPE_CHECKING:
    from fastapi import FastAPI
    from typing_extensions import Unpack

    from taskplane._keywords import Keywords


@asynccontextmanager
async def lifespan(app: FastAPI, **settings: Unpack[Keywords]) -> AsyncIterator[None]:
    """Tell the brain what Celery does in this process, while the application runs.

    As the application's lifespan, or within the one it has: ``async with taskplane.fastapi.lifespan(app): yield``.
    """
    AGENT.install(settings, ("fastapi", _application.version("fastapi")))
    AGENT.serves()
    try:
        yield
    finally:
        # Here and not at exit: uvicorn ends itself by the signal that it was ended by.
        await asyncio.to_thread(AGENT.stop)
