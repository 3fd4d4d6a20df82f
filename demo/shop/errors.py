"""What can go wrong in the shop."""


class CardDeclinedError(Exception):
    """The bank did not accept the card."""


class OutOfStockError(Exception):
    """There is not enough of an item."""


class MailServerError(Exception):
    """The mail server did not take the message."""
