"""Stand-ins for work that a real shop would do elsewhere."""

import random
import time


def busy(shortest: float, longest: float) -> float:
    """Take some time, as calls to other services do, and say how much."""
    seconds = random.uniform(shortest, longest)
    time.sleep(seconds)
    return seconds
