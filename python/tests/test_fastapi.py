"""FastAPI under uvicorn."""

from __future__ import annotations

import importlib.metadata

import pytest
from running import Place, get, shown_as_sent


@pytest.mark.parametrize("own", ["", "1"])
def test_the_lifespan_alone_or_within_another_one_has_an_agent(place: Place, own: str) -> None:
    words = ["-m", "uvicorn", "fastapi_shop:app", "--port", "{port}"]
    server, address = place.serve("uvicorn", *words, OWN_LIFESPAN=own)
    agent = place.only_agent()
    assert (agent["framework"], agent["framework_version"]) == (
        "fastapi",
        importlib.metadata.version("fastapi"),
    )
    assert (agent["metadata"]["role"], agent["metadata"]["pid"]) == ("web", server.pid)
    shown_as_sent(place, get(f"{address}/buy").strip('"'))


def test_what_was_sent_right_before_the_end_is_told(place: Place) -> None:
    words = ["-m", "uvicorn", "fastapi_shop:app", "--port", "{port}"]
    server, address = place.serve("uvicorn", *words)
    place.only_agent()
    sent = get(f"{address}/buy").strip('"')
    server.terminate()
    shown_as_sent(place, sent)


def test_several_processes_have_one_connection(place: Place) -> None:
    words = ["-m", "uvicorn", "fastapi_shop:app", "--port", "{port}", "--workers", "2"]
    _, address = place.serve("uvicorn", *words)
    place.only_agent()
    for _ in range(6):
        shown_as_sent(place, get(f"{address}/buy").strip('"'))
    assert place.only_agent()["connections"] == 1
