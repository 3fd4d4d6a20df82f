"""Where an application's broker and results are, in one URL each: what it says in its settings goes behind the question mark."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

_log = logging.getLogger("taskplane")

# What kombu uses where nothing is said.
_DEFAULT_BROKER: Final = "amqp://guest:guest@localhost:5672//"
_REDIS: Final = ("redis://", "rediss://", "sentinel://")
# Backends that are not read from in here, where the hooks tell of each result. They are named nevertheless: else results would be
# looked for on a broker that is Redis, and those that are elsewhere would count as none.
_ELSEWHERE: Final = ("db", "database", "django-db", "django-cache", "rpc", "cache")
_WITH_TLS: Final = {"redis://": "rediss://", "amqp://": "amqps://", "pyamqp://": "amqps://"}
# Options of kombu's transports that say where something is, or what it is called.
_TRANSPORT_OPTIONS: Final = ("global_keyprefix", "fanout_prefix", "fanout_patterns", "master_name")
_TLS_OPTIONS: Final = ("ca_certs", "certfile", "keyfile", "cert_reqs", "check_hostname")


def brokers(app: Any) -> list[tuple[str, str | None]]:
    """The broker of a Celery application, with its result backend where that is Redis, or but its kind.

    Empty when they cannot be made out; the agent then observes, and cannot act.
    """
    try:
        conf = app.conf
        return [(_broker(conf), _results(conf))]
    except Exception as error:
        _log.warning("taskplane only observes: the broker's address cannot be made out: %r", error)
        return []


def _broker(conf: Any) -> str:
    given = conf.broker_write_url or conf.broker_url or _DEFAULT_BROKER
    urls = given.split(";") if isinstance(given, str) else [str(each) for each in given]
    # Several are several brokers of a cluster; of Redis one only, unless Sentinel names it.
    if urls[0].startswith(("redis://", "rediss://")):
        urls = urls[:1]
    transport = conf.broker_transport_options or {}
    options = {**_named(transport), **_tls(conf.broker_use_ssl), **_sentinel(transport)}
    return _joined([_encrypted(each) for each in urls] if conf.broker_use_ssl else urls, options)


def _results(conf: Any) -> str | None:
    url = conf.result_backend
    if not isinstance(url, str):
        return None
    if not url.startswith(_REDIS):
        kind = url.partition("://")[0].partition("+")[0]
        return kind if kind in _ELSEWHERE else None
    transport = conf.result_backend_transport_options or {}
    tls = conf.redis_backend_use_ssl
    options = {**_named(transport), **_tls(tls), **_sentinel(transport)}
    options.pop("fanout_prefix", None)
    options.pop("fanout_patterns", None)
    urls = url.split(";")
    return _joined([_encrypted(each) for each in urls] if tls else urls, options)


def _named(transport: Mapping[str, Any]) -> dict[str, str]:
    return {key: _text(transport[key]) for key in _TRANSPORT_OPTIONS if transport.get(key) is not None}


def _sentinel(transport: Mapping[str, Any]) -> dict[str, str]:
    given = transport.get("sentinel_kwargs") or {}
    known = ("username", "password", "ssl")
    return {f"sentinel_{key}": _text(given[key]) for key in known if given.get(key) is not None}


def _tls(given: Any) -> dict[str, str]:
    """Options of `broker_use_ssl`: for Redis they are called `ssl_ca_certs`, for RabbitMQ `ca_certs`, and so on."""
    if not isinstance(given, Mapping):
        return {}
    found = {}
    for key in _TLS_OPTIONS:
        value = given.get(f"ssl_{key}", given.get(key))
        if value is not None:
            found[f"ssl_{key}"] = _text(value)
    return found


def _text(value: Any) -> str:
    # `ssl.CERT_REQUIRED` is an enumeration.
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else str(value)


def _encrypted(url: str) -> str:
    for plain, encrypted in _WITH_TLS.items():
        if url.startswith(plain):
            return encrypted + url.removeprefix(plain)
    return url


def _joined(urls: list[str], options: Mapping[str, str]) -> str:
    url = ";".join(urls)
    query = "&".join(f"{key}={quote(value, safe='')}" for key, value in options.items())
    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{query}"
