"""What the program is told by its environment and its configuration file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class SettingsError(Exception):
    """A setting is missing or wrong; the message names it."""


@dataclass(frozen=True)
class Settings:
    """Everything that can be set.

    Attributes:
        database_url: in SQLAlchemy's form.
        api_token: whoever sends it may write.
        title: what the hub is called in its own documentation.
        max_value_bytes: longest value, as JSON.
    """

    database_url: str
    api_token: str = ""
    title: str = "State Hub"
    max_value_bytes: int = 65_536
    log_level: str = "INFO"
    port: int = 8000

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read them.

        Raises:
            SettingsError: when one is missing or wrong.
        """
        url = environment.get("DATABASE_URL", "")
        if not url:
            raise SettingsError("DATABASE_URL is missing: postgresql://user:password@host:5432/database")
        hub: Mapping[str, object] = {}
        file = environment.get("STATE_HUB_CONFIG", "")
        if file:
            try:
                hub = tomllib.loads(Path(file).read_text(encoding="utf-8")).get("hub", {})
            except (OSError, tomllib.TOMLDecodeError) as error:
                raise SettingsError(f"STATE_HUB_CONFIG: {file} cannot be read: {error}") from error
        try:
            return cls(
                # The driver is the program's business, not the operator's.
                database_url=url.replace("postgresql://", "postgresql+psycopg://", 1),
                api_token=environment.get("API_TOKEN", ""),
                title=str(hub.get("title", cls.title)),
                max_value_bytes=int(str(hub.get("max_value_bytes", cls.max_value_bytes))),
                log_level=environment.get("LOG_LEVEL", cls.log_level).upper(),
                port=int(environment.get("PORT", cls.port)),
            )
        except ValueError as error:
            raise SettingsError(f"A setting is no number: {error}") from error
