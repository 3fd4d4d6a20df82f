"""A FastAPI application with Celery and a lifespan of its own."""

import os
from contextlib import asynccontextmanager

from celery import Celery
from fastapi import FastAPI

import taskplane.fastapi

celery_app = Celery("fastapi_shop", broker=os.environ["BROKER_URL"])


@celery_app.task(name="shop.charge")
def charge(amount, password=None):
    return f"charged {amount}"


@asynccontextmanager
async def lifespan(app):
    async with taskplane.fastapi.lifespan(app):
        app.state.ready = True
        yield


app = FastAPI(lifespan=lifespan if os.environ.get("OWN_LIFESPAN") else taskplane.fastapi.lifespan)


@app.get("/buy")
def buy():
    sent = charge.apply_async([42], {"password": "correct horse battery"}, queue="payments")
    return sent.id
