"""A type of source that is somebody else's: nothing of ours knows it, nor which of its settings are secret."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pandas as pd
from pydantic import BaseModel, SecretStr

from etl.errors import SourceError
from etl.sources.base import Source, SourceSettings, Window
from tests.canary.canaries import person


class Login(BaseModel):
    """Who asks for the feed."""

    user: str
    password: SecretStr


class FeedSettings(SourceSettings):
    """``{type: feed, address: …, token: …, logins: […]}``."""

    address: str
    token: SecretStr
    logins: tuple[Login, ...] = ()
    broken: bool = False
    chatty: bool = False


class FeedSource(Source):
    """Three rows. Its errors are careless, and so is its log where it is ``chatty``."""

    type = "feed"
    settings_model = FeedSettings
    settings: FeedSettings

    def describe(self) -> str:
        """The address as people may see it."""
        return self.displayed["address"]

    def frames(self, window: Window, chunk_rows: int) -> Iterator[pd.DataFrame]:
        """See `Source.frames`."""
        passwords = [login.password.get_secret_value() for login in self.settings.logins]
        everything = f"{self.settings.address} {self.settings.token.get_secret_value()} {' '.join(passwords)}"
        if self.settings.chatty:
            logging.getLogger("chatty").warning("GET %s", everything)
        if self.settings.broken:
            raise SourceError(f"feed: {everything} was not taken.")
        yield pd.DataFrame([person(number) for number in range(950, 953)], index=[1, 2, 3], dtype="str")
