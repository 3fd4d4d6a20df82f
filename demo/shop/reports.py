"""Slow tasks that count what was sold."""

import random

from celery import chord

from shop.app import app
from shop.work import busy

REGIONS = ("north", "east", "south", "west")


@app.task(name="reports.daily")  # type: ignore[untyped-decorator]
def daily(day: str) -> str:
    """Write the report of one day. Takes a while."""
    seconds = busy(5, 20)
    return f"report of {day} written in {seconds:.1f} s"


@app.task(name="reports.region")  # type: ignore[untyped-decorator]
def region(name: str, day: str) -> int:
    """Count the sales of one region on one day."""
    busy(0.5, 2)
    return random.randint(100, 10_000) + len(day) + len(name)


@app.task(name="reports.collect")  # type: ignore[untyped-decorator]
def collect(sales: list[int], day: str) -> dict[str, int | str]:
    """Add up what the regions counted."""
    busy(0.05, 0.2)
    return {"day": day, "total": sum(sales), "regions": len(sales)}


def send_regional_report(day: str) -> None:
    """Count all regions side by side, then add them up: a chord."""
    chord((region.s(name, day) for name in REGIONS), collect.s(day)).apply_async()
