"""Settings: where they come from, and what is said of wrong ones."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from taskplane.settings import Settings, SettingsError, TaskRules, default_data_dir

ENVIRONMENT = {"TASKPLANE_BRAIN_URL": "ws://environment", "TASKPLANE_TOKEN": "t1", "TASKPLANE_NAME": "env"}


def test_explicit_settings_win_over_the_frameworks_and_those_over_the_environments() -> None:
    settings = Settings.resolve(
        {"brain_url": "ws://explicit"}, {"BRAIN_URL": "ws://django", "NAME": "dj"}, ENVIRONMENT
    )
    assert (settings.brain_url, settings.name, settings.token) == ("ws://explicit", "dj", "t1")


def test_everything_can_be_in_the_environment() -> None:
    settings = Settings.resolve(
        {},
        {},
        {
            "TASKPLANE_BRAIN_URL": "wss://brain",
            "TASKPLANE_TOKEN_FILE": "/run/token",
            "TASKPLANE_NAME": "web-01",
            "TASKPLANE_DATA_DIR": "/var/lib/taskplane",
            "TASKPLANE_ROLE": "web",
            "TASKPLANE_REDACT_KEYS": "iban, card ,",
            "TASKPLANE_REDACT_STRINGS": "mask-all",
            "TASKPLANE_CA_CERT": "ca.pem",
            "TASKPLANE_CLIENT_CERT": "c.pem",
            "TASKPLANE_CLIENT_KEY": "k.pem",
            "TASKPLANE_LOG": "info",
            "TASKPLANE_ENABLED": "off",
            # Of the brain and the sidecar.
            "TASKPLANE_LISTEN": "127.0.0.1:7440",
            "TASKPLANE_CELERY": "redis://127.0.0.1",
        },
    )
    assert settings == Settings(
        brain_url="wss://brain",
        token_file="/run/token",
        name="web-01",
        data_dir="/var/lib/taskplane",
        role="web",
        redact_keys=("iban", "card"),
        redact_strings="mask-all",
        ca_cert="ca.pem",
        client_cert="c.pem",
        client_key="k.pem",
        log="info",
        enabled=False,
    )


def test_a_token_voids_the_token_file_of_a_lesser_source() -> None:
    settings = Settings.resolve({"token": "t2"}, {}, {"TASKPLANE_TOKEN_FILE": "/run/token"})
    assert (settings.token, settings.token_file) == ("t2", None)
    settings = Settings.resolve({"token_file": Path("/run/token")}, {}, ENVIRONMENT)
    assert (settings.token, settings.token_file) == (None, "/run/token")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"BRAIN_ULR": "ws://b"}, "unknown setting BRAIN_ULR: did you mean BRAIN_URL?"),
        ({"redact_string": "mask-all"}, "unknown setting redact_string: did you mean redact_strings?"),
        ({"QQQ": 1}, "unknown setting QQQ: known are brain_url, token,"),
        ({"brain_url": "brain:7440"}, "brain_url does not begin with wss:// or ws://"),
        ({"role": "cook"}, "role is 'cook': give one of worker, web, beat, script"),
        ({"redact_strings": "all"}, "give one of short, patterns-only, mask-all"),
        ({"redact_keys": [1]}, "redact_keys is list: give a list of strings"),
        ({"log": "loud"}, "log is 'loud': give one of error, warn, info, debug, trace, off"),
        ({"enabled": "maybe"}, "enabled is 'maybe': give true or false"),
        ({"token": 7}, "token is int: give a string"),
        ({"token": "t", "token_file": "f"}, "both token and token_file are set"),
        ({"client_cert": "c.pem"}, "client_cert and client_key belong together"),
        ({"tasks": ["shop.pay"]}, "tasks is no dict"),
        ({"tasks": {"shop.pay": {"key": ["x"]}}}, "unknown setting tasks['shop.pay']['key']: known are keys"),
        ({"tasks": {"shop.pay": {"strings": "no"}}}, "tasks['shop.pay']['strings'] is 'no'"),
    ],
)
def test_a_wrong_setting_is_named_with_what_to_do(given: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.resolve(given, {}, {})
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_of_a_log_filter_what_holds_for_all_counts() -> None:
    assert Settings.resolve({"log": "info,taskplane_agent=debug"}, {}, {}).log == "info"
    assert Settings.resolve({"log": "taskplane_agent=debug"}, {}, {}).log == "warn"


def test_rules_of_tasks_are_read() -> None:
    settings = Settings.resolve({}, {"TASKS": {"shop.pay": {"keys": ["card"], "strings": "mask-all"}}}, {})
    assert settings.tasks == {"shop.pay": TaskRules(keys=("card",), strings="mask-all")}


def test_one_line_says_everything_that_is_missing() -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.resolve({}, {}, {}).complete()
    assert str(raised.value) == (
        "set TASKPLANE_BRAIN_URL (such as wss://tasks.example.com) and "
        "TASKPLANE_TOKEN or TASKPLANE_TOKEN_FILE (from `taskplane token create`)"
    )


def test_the_name_is_the_applications_and_the_hosts_by_default() -> None:
    settings = Settings(brain_url="ws://b", token="t", data_dir="/d")
    assert settings.complete("shop").name == f"shop@{socket.gethostname()}"
    assert settings.complete().name == socket.gethostname()
    assert Settings(brain_url="ws://b", token="t", name="mine").complete("shop").name == "mine"


def test_paths_are_absolute_from_the_start_on() -> None:
    settings = Settings(
        brain_url="ws://b", token_file="token", data_dir="~/state", ca_cert="/ca.pem"
    ).complete()
    assert settings.token_file == str(Path("token").absolute())
    assert (settings.data_dir, settings.ca_cert) == (str(Path.home() / "state"), "/ca.pem")


def test_the_folder_is_the_state_of_the_user_or_one_of_their_own(tmp_path: Path) -> None:
    assert default_data_dir({"XDG_STATE_HOME": "/state", "HOME": str(tmp_path)}) == "/state/taskplane"
    assert default_data_dir({"HOME": str(tmp_path)}) == str(tmp_path / ".local/state/taskplane")
    assert default_data_dir({"HOME": "/nonexistent"}) == f"/var/tmp/taskplane-{os.getuid()}"


def test_a_token_is_never_shown() -> None:
    assert "tpa_secret" not in repr(Settings(token="tpa_secret"))
