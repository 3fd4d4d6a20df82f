"""Tasks that keep the stock."""

from typing import TypedDict

from shop.app import app
from shop.errors import OutOfStockError
from shop.work import busy

SOLD_OUT = "item-13"


class Order(TypedDict):
    """An order on its way through the chain."""

    order_id: int
    item: str
    quantity: int
    amount_cents: int
    card: str
    email: str


@app.task(name="inventory.reserve")  # type: ignore[untyped-decorator]
def reserve(order: Order) -> Order:
    """Put the items of an order aside."""
    busy(0.02, 0.15)
    if order["item"] == SOLD_OUT:
        raise OutOfStockError(f"{order['item']} is sold out: order {order['order_id']} cannot be filled")
    return order


@app.task(name="inventory.restock")  # type: ignore[untyped-decorator]
def restock(item: str, quantity: int) -> int:
    """Put items back on the shelf."""
    busy(0.01, 0.05)
    if not item:
        raise ValueError("an item has a name")
    return quantity
