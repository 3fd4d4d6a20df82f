"""Tasks that move money."""

from shop.app import app
from shop.errors import CardDeclinedError
from shop.inventory import Order
from shop.work import busy

DECLINED_CARDS = {"card-expired": "the card has expired", "card-limit": "the card is over its limit"}


@app.task(name="billing.charge")  # type: ignore[untyped-decorator]
def charge(order: Order) -> Order:
    """Charge the card of an order."""
    busy(0.05, 0.4)
    reason = DECLINED_CARDS.get(order["card"])
    if reason is not None:
        raise CardDeclinedError(f"order {order['order_id']}: {reason}")
    return order


@app.task(name="billing.refund")  # type: ignore[untyped-decorator]
def refund(order_id: int, amount_cents: int, reason: str = "returned") -> dict[str, int | str]:
    """Give the money back."""
    busy(0.05, 0.2)
    return {"order_id": order_id, "refunded_cents": amount_cents, "reason": reason}
