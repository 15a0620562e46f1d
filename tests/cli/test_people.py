"""Options of a server that people use."""

import click
import pytest

from smpki_cli.people import given_people


@pytest.mark.parametrize(
    "url", ["portal.example", "https://portal.example/smpki", "https://Portal.example", "ftp://x", ""]
)
def test_an_address_that_browsers_never_say_they_come_from(url: str) -> None:
    with pytest.raises(click.UsageError):
        given_people("127.0.0.1:0", None, url, (0,))
    for good in ("https://portal.example/", "http://127.0.0.1:8080", "https://[::1]"):
        people = given_people("127.0.0.1:0", None, good, (0,))
        assert people is not None and people.origin(1) == good.rstrip("/")
