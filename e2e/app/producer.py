"""Sends tasks: a JSON request a line on standard input, a JSON answer a line on standard output."""

import json
import sys

from celery import chord
from shop import add, app, total


def answer(request: dict) -> dict:
    if "chord" in request:
        header = [add.s(n, n).set(queue="default") for n in request["chord"]]
        body = chord(header)(total.s().set(queue="default"))
        return {"id": body.id, "members": [member.id for member in body.parent.results]}
    sent = app.send_task(
        request["task"],
        args=request["args"],
        kwargs=request["kwargs"],
        queue=request["queue"],
        countdown=request.get("countdown"),
    )
    return {"id": sent.id}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
