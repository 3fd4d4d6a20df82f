from django.http import HttpResponse
from django.urls import path

from shop.tasks import charge


def buy(request):
    sent = charge.apply_async([42], {"password": "correct horse battery"}, queue="payments")
    return HttpResponse(sent.id)


urlpatterns = [path("buy", buy)]
