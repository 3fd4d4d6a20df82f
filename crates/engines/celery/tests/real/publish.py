"""Publishes what it reads: one JSON object a line, {"task", "args", "kwargs", "options", "then", "members", "header"}."""

import json
import sys

from celery import chain, chord
from shop_floor import app


def signed(order):
    """A task, or a chain of tasks."""
    if isinstance(order, list):
        return chain(*(signed(link) for link in order))
    signature = app.signature(order["task"], args=order.get("args", []), kwargs=order.get("kwargs", {}))
    signature.set(immutable=order.get("immutable", False))
    return signature.set(**order.get("options", {}))


for line in sys.stdin:
    order = json.loads(line)
    signature = app.signature(order["task"], args=order.get("args", []), kwargs=order.get("kwargs", {}))
    signature.set(**order.get("options", {}))
    if "then" in order:
        signature = chain(signature, *(app.signature(name) for name in order["then"]))
        result = signature.apply_async()
        while result.parent is not None:
            result = result.parent
    elif "members" in order:
        header = [app.signature(order["task"], args=args) for args in order["members"]]
        result = chord(header, app.signature("floor.echo")).apply_async().parent.results[0]
    elif "header" in order:
        header = [signed(member) for member in order["header"]]
        result = chord(header, signed(order)).apply_async()
        print(*(member.id for member in result.parent.results), end=" ")
    else:
        result = signature.apply_async()
    print(result.id, flush=True)
