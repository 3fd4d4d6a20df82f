from celery import shared_task


@shared_task(name="shop.charge")
def charge(amount, password=None):
    return f"charged {amount}"
