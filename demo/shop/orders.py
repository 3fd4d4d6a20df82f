"""Tasks that begin and end an order."""

from celery import chain

from shop.app import app
from shop.billing import charge, refund
from shop.emails import send_receipt
from shop.inventory import Order, reserve, restock
from shop.work import busy


@app.task(name="orders.place")  # type: ignore[untyped-decorator]
def place(order_id: int, item: str, quantity: int, amount_cents: int, card: str, email: str) -> Order:
    """Check an order and hand it to the rest of its chain."""
    busy(0.01, 0.05)
    if quantity < 1:
        raise ValueError(f"order {order_id} is for {quantity} items")
    return {
        "order_id": order_id,
        "item": item,
        "quantity": quantity,
        "amount_cents": amount_cents,
        "card": card,
        "email": email,
    }


@app.task(name="orders.cancel")  # type: ignore[untyped-decorator]
def cancel(order_id: int, item: str, quantity: int, amount_cents: int) -> None:
    """Undo an order: the tasks this sends are its children."""
    restock.delay(item, quantity)
    refund.delay(order_id, amount_cents, reason="cancelled")


def send_order(order: Order) -> None:
    """Send an order on its way: place, reserve, charge, receipt."""
    steps = chain(place.s(**order), reserve.s(), charge.s(), send_receipt.s())
    steps.apply_async()
