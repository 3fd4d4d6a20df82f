"""Sends a gentle stream of work to the shop until it is stopped."""

import argparse
import datetime
import random
import time
from collections.abc import Callable

from celery import group

from shop.emails import send_newsletter
from shop.inventory import SOLD_OUT, Order
from shop.orders import cancel, send_order
from shop.reports import daily, send_regional_report

CARDS = ("card-visa", "card-master", "card-amex")
BAD_CARDS = ("card-expired", "card-limit")
PEOPLE = ("ada", "alan", "barbara", "edsger", "grace", "ken", "margaret", "tony")


class Customers:
    """What the customers of the shop do. With a seed they do the same every time."""

    def __init__(self, seed: int | None, first_order: int = 1000) -> None:
        """Start with the given seed, counting orders from `first_order`."""
        self._random = random.Random(seed)
        self._next_order = first_order

    def order(self) -> Order:
        """Make up an order. One in twelve has a bad card; some are for an item that is sold out."""
        self._next_order += 1
        pick = self._random
        card = pick.choice(BAD_CARDS if pick.random() < 1 / 12 else CARDS)
        item = SOLD_OUT if pick.random() < 0.02 else f"item-{pick.randint(14, 99)}"
        quantity = 0 if pick.random() < 0.01 else pick.randint(1, 5)
        return {
            "order_id": self._next_order,
            "item": item,
            "quantity": quantity,
            "amount_cents": quantity * pick.randint(199, 9999),
            "card": card,
            "email": f"{pick.choice(PEOPLE)}@shop.example",
        }

    def act(self) -> None:
        """Do one thing: mostly, order something."""
        chance = self._random.random()
        actions: list[tuple[float, Callable[[], None]]] = [
            (0.90, lambda: send_order(self.order())),
            (0.96, self._change_mind),
            (0.98, self._newsletter),
            (0.995, lambda: send_regional_report(today())),
            (1.00, lambda: daily.delay(today())),
        ]
        for limit, action in actions:
            if chance <= limit:
                action()
                return

    def _change_mind(self) -> None:
        order = self.order()
        cancel.delay(order["order_id"], order["item"], order["quantity"], order["amount_cents"])

    def _newsletter(self) -> None:
        issue = f"issue {self._random.randint(1, 52)}"
        group(send_newsletter.s(f"{name}@shop.example", issue) for name in PEOPLE).apply_async()


def today() -> str:
    """Give the day that reports are about."""
    return datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat()


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=5.0, help="actions per second (default: 5)")
    parser.add_argument("--count", type=int, default=0, help="stop after so many actions (default: never)")
    parser.add_argument("--seed", type=int, default=None, help="do the same every time")
    return parser.parse_args()


def main() -> None:
    """Send work until stopped."""
    options = arguments()
    customers = Customers(options.seed)
    done = 0
    try:
        while options.count <= 0 or done < options.count:
            customers.act()
            done += 1
            time.sleep(1 / options.rate)
    except KeyboardInterrupt:
        pass
    print(f"{done} actions sent")


if __name__ == "__main__":
    main()
