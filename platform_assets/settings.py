"""Every environment variable that the platform reads, and nothing else.

Settings are read when they are used, never at import, so that loading the graph needs no environment.
"""

from __future__ import annotations

import os
import re
from datetime import date
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

CHECKOUT = Path(__file__).resolve().parent.parent


_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")


class SettingsError(RuntimeError):
    """A setting is missing or wrong; the message says which one and what to do."""


class Settings(BaseSettings):
    """The platform's settings, each from the environment variable `PLATFORM_<NAME>` unless an alias says otherwise."""

    model_config = SettingsConfigDict(env_prefix="PLATFORM_", populate_by_name=True, extra="ignore")

    home: Path = Field(default=CHECKOUT / ".platform", description="Where all local state lives.")
    catalog_uri: str | None = Field(default=None, description="Iceberg catalog database; SQLite under home by default.")
    warehouse: str | None = Field(default=None, description="Where Iceberg tables keep their files.")
    operations_uri: str | None = Field(default=None, description="Arrival ledger database; SQLite under home.")
    project: str = Field(default="platform-local", alias="GOOGLE_CLOUD_PROJECT")
    landing_bucket: str = Field(default="ey-data-platform-raw-data", description="Bucket of landing objects (S3-18).")
    fakestore_data_dir: Path | None = Field(
        default=None,
        alias="FAKESTORE_DATA_DIR",
        description="What the local FakeStore API serves; a sample by default.",
    )
    sources: Path = Field(default=CHECKOUT / "platform_assets" / "sources", description="The folders of the sources.")
    alert_routes: Path = Field(
        default=CHECKOUT / "platform_assets" / "sources" / "alert_routes.yaml",
        description="Who is told of trouble, of which, and when not (docs/guides/alerts.md).",
    )
    dagit_url: str | None = Field(default=None, description="Where Dagster's webserver answers.")
    broken_sources: Literal["refuse", "leave_out"] = Field(
        default="refuse",
        description="What a source that cannot be used means for the others: nothing is loaded, or all but that one.",
    )
    memory_limit: str = Field(
        default="620MB",
        description="What a run's DuckDB may hold before it spills to disk, such as 2GB, or a share of the machine, "
        "such as 30%. A run's Python holds some 300 MB beside it.",
    )
    partitions_start: date = Field(default=date(2015, 1, 1), description="First daily partition of every table.")
    pii_key: SecretStr | None = Field(default=None, description="Key of the HMAC-SHA256 tokens, 32 characters or more.")
    pii_key_file: Path | None = Field(default=None, description="File that holds the key, when it is mounted.")
    dbt_project: Path = Field(default=CHECKOUT / "dbt_project", description="The dbt project of gold and mart.")

    maintenance_schedule: str = Field(
        default="30 3 * * *", description="When tables are maintained (cron, UTC; docs/guides/maintenance.md)."
    )
    snapshot_days: int = Field(
        default=7, ge=1, description="Days for which a snapshot can be read after it was superseded."
    )
    orphan_days: int = Field(default=3, ge=1, description="Days after which a file that no snapshot names is removed.")
    file_megabytes: int = Field(default=128, ge=1, description="How large compaction makes a data file.")

    @cached_property
    def lakehouse_home(self) -> Path:
        """Folder of the embedded lakehouse."""
        return self.home.resolve() / "lakehouse"

    @property
    def resolved_catalog_uri(self) -> str:
        """SQLAlchemy URI of the Iceberg catalog."""
        return self.catalog_uri or f"sqlite:///{self.lakehouse_home / 'catalog.db'}"

    @property
    def resolved_warehouse(self) -> str:
        """Root URI of the tables' files."""
        return self.warehouse or f"file://{self.lakehouse_home / 'warehouse'}"

    @property
    def resolved_operations_uri(self) -> str:
        """SQLAlchemy URI of the operations database."""
        return self.operations_uri or f"sqlite:///{self.home.resolve() / 'operations.db'}"

    def require_pii_key(self) -> bytes:
        """The tokenisation key.

        Raises:
            SettingsError: no key is configured, or it is too short to be a secret.
        """
        if self.pii_key is not None:
            key = self.pii_key.get_secret_value()
        elif self.pii_key_file is not None and self.pii_key_file.is_file():
            key = self.pii_key_file.read_text(encoding="utf-8").strip()
        else:
            raise SettingsError(
                "No key to tokenise PII with. Set PLATFORM_PII_KEY, or PLATFORM_PII_KEY_FILE to a file that holds it; "
                "`platform-assets up` makes one for local work."
            )
        if len(key) < 32:
            raise SettingsError(f"The PII key has {len(key)} characters; at least 32 are needed to be a secret.")
        return key.encode()

    def require_secret(self, name: str) -> SecretStr:
        """The credential that a source calls `secret_name`: from the environment, else from a file under home.

        Args:
            name: letters, digits, `-`, `_` and `.`; `stripe-api-key` is PLATFORM_SECRET_STRIPE_API_KEY, or the file
                `secrets/stripe-api-key`, which only its owner may read.

        Raises:
            SettingsError: there is no such secret, it is empty, or others may read its file.
        """
        variable = f"PLATFORM_SECRET_{re.sub('[^A-Z0-9]', '_', name.upper())}"
        path = self.home.resolve() / "secrets" / name
        if variable in os.environ:
            found, where = os.environ[variable], f"the environment variable {variable}"
        elif path.is_file():
            if path.stat().st_mode & 0o077:
                raise SettingsError(f"The secret {name!r} is in {path}, which others may read; run `chmod 600 {path}`.")
            found, where = path.read_text(encoding="utf-8").strip("\r\n"), str(path)
        else:
            raise SettingsError(
                f"No secret {name!r}: looked for the environment variable {variable} and the file {path}. Set one of "
                "them to the credential; the file with `chmod 600`."
            )
        if not found.strip():
            raise SettingsError(f"The secret {name!r} in {where} is empty.")
        return SecretStr(found)


def expanded(text: str) -> str:
    """`${NAME}` and `${NAME:-default}` replaced by the environment, as a shell would.

    Raises:
        SettingsError: a variable without default is not set.
    """

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match["name"], match["default"])
        if found is None:
            raise SettingsError(f"{text!r} wants the environment variable {match['name']}, which is not set.")
        return found

    return _VARIABLE.sub(value, text)


def load_settings() -> Settings:
    """The settings as the environment has them now."""
    return _settings_of(tuple(map(os.environ.get, _VARIABLES)))


_VARIABLES = [field.alias or f"PLATFORM_{name}".upper() for name, field in Settings.model_fields.items()]


@lru_cache(maxsize=1)  # the graph asks for every table, and reading takes a millisecond
def _settings_of(_: tuple[str | None, ...]) -> Settings:
    return Settings()
