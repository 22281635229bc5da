"""Secrets: where they are looked for, and what is never told."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_assets.settings import Settings, SettingsError


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    (tmp_path / "secrets").mkdir()
    return Settings(home=tmp_path)


def test_a_secret_is_taken_from_the_environment_before_the_file(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home.home / "secrets" / "stripe-api-key"
    path.write_text("from the file\n", encoding="utf-8")
    path.chmod(0o600)
    assert home.require_secret("stripe-api-key").get_secret_value() == "from the file"
    monkeypatch.setenv("PLATFORM_SECRET_STRIPE_API_KEY", "from the environment")
    secret = home.require_secret("stripe-api-key")
    assert secret.get_secret_value() == "from the environment"
    assert "from" not in f"{secret} {secret!r}"


def test_a_secret_that_is_missing_says_where_it_was_looked_for(home: Settings) -> None:
    with pytest.raises(SettingsError) as error:
        home.require_secret("stripe.api-key")
    assert str(error.value) == (
        "No secret 'stripe.api-key': looked for the environment variable PLATFORM_SECRET_STRIPE_API_KEY and the file "
        f"{home.home}/secrets/stripe.api-key. Set one of them to the credential; the file with `chmod 600`."
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_may_read_is_refused(home: Settings, mode: int) -> None:
    path = home.home / "secrets" / "key"
    path.write_text("hunter2", encoding="utf-8")
    path.chmod(mode)
    with pytest.raises(SettingsError, match=f"which others may read; run `chmod 600 {path}`") as error:
        home.require_secret("key")
    assert "hunter2" not in str(error.value)


def test_an_empty_secret_is_refused(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_SECRET_KEY", " ")
    with pytest.raises(SettingsError, match="in the environment variable PLATFORM_SECRET_KEY is empty"):
        home.require_secret("key")
