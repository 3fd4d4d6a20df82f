"""What stands in an application's settings goes into the address that the agent is given."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from celery import Celery

from taskplane.celery.addresses import brokers

CA = {"ssl_ca_certs": "/etc/ca.pem", "ssl_cert_reqs": ssl.CERT_REQUIRED}


@pytest.mark.parametrize(
    ("conf", "broker", "results"),
    [
        ({"broker_url": "redis://h/1"}, "redis://h/1", None),
        ({"broker_url": None}, "amqp://guest:guest@localhost:5672//", None),
        ({"broker_url": "redis://a/1;redis://b/1"}, "redis://a/1", None),
        ({"broker_url": ["amqp://a", "amqp://b"]}, "amqp://a;amqp://b", None),
        ({"broker_url": "amqp://r", "broker_write_url": "amqp://w"}, "amqp://w", None),
        ({"broker_url": "amqp://h", "result_backend": "redis://r/2"}, "amqp://h", "redis://r/2"),
        ({"broker_url": "amqp://h", "result_backend": "rpc://"}, "amqp://h", "rpc"),
        ({"broker_url": "amqp://h", "result_backend": "db+sqlite:///x"}, "amqp://h", "db"),
        ({"broker_url": "redis://h", "result_backend": "django-db"}, "redis://h", "django-db"),
        ({"broker_url": "redis://h", "result_backend": "shop.Backend"}, "redis://h", None),
        (
            {"broker_url": "redis://h", "broker_use_ssl": CA},
            "rediss://h?ssl_ca_certs=%2Fetc%2Fca.pem&ssl_cert_reqs=CERT_REQUIRED",
            None,
        ),
        ({"broker_url": "amqp://h/v", "broker_use_ssl": True}, "amqps://h/v", None),
        (
            {"broker_url": "amqp://h/v", "broker_use_ssl": {"ca_certs": "/ca"}},
            "amqps://h/v?ssl_ca_certs=%2Fca",
            None,
        ),
        (
            {
                "broker_url": "redis://h/0?x=1",
                "broker_transport_options": {"global_keyprefix": "shop:", "visibility_timeout": 60},
                "result_backend": "redis://h/0",
                "result_backend_transport_options": {"global_keyprefix": "res:"},
            },
            "redis://h/0?x=1&global_keyprefix=shop%3A",
            "redis://h/0?global_keyprefix=res%3A",
        ),
        (
            {
                "broker_url": "sentinel://a:26379;sentinel://b:26379",
                "broker_transport_options": {"master_name": "shop", "sentinel_kwargs": {"password": "p&w"}},
            },
            "sentinel://a:26379;sentinel://b:26379?master_name=shop&sentinel_password=p%26w",
            None,
        ),
    ],
)
def test_the_address_has_it_all(conf: dict[str, Any], broker: str, results: str | None) -> None:
    app = Celery(set_as_current=False)
    app.conf.update(conf)
    assert brokers(app) == [(broker, results)]


def test_an_application_without_an_address_is_only_observed(caplog: pytest.LogCaptureFixture) -> None:
    app = Celery(set_as_current=False)
    app.conf.update(broker_url=7)
    assert brokers(app) == []
    assert "only observes" in caplog.text
