"""Tasks that send mail, over a server that is down now and then."""

import random
from typing import Any

from shop.app import app
from shop.errors import MailServerError
from shop.inventory import Order
from shop.work import busy

SERVER_DOWN = 0.2


@app.task(name="emails.send_receipt", bind=True, max_retries=4)  # type: ignore[untyped-decorator]
def send_receipt(self: Any, order: Order) -> str:  # noqa: ANN401  (Celery has no type for it)
    """Send the receipt of an order; try again in a moment when the server is down."""
    busy(0.02, 0.2)
    if random.random() < SERVER_DOWN:
        error = MailServerError(f"421 try again later ({order['email']})")
        raise self.retry(exc=error, countdown=random.randint(1, 3))
    return f"receipt for order {order['order_id']} sent to {order['email']}"


@app.task(name="emails.send_newsletter")  # type: ignore[untyped-decorator]
def send_newsletter(email: str, issue: str) -> str:
    """Send one copy of the newsletter."""
    busy(0.01, 0.1)
    return f"{issue} sent to {email}"
