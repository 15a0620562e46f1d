"""A PKI for a process of its own. Who starts that process need not load all that issues there."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from smpki.ca.home import Home
from smpki.ca.surroundings import process_surroundings

if TYPE_CHECKING:
    from smpki.ca.pki import Pki


def open_in_worker(home: Home, action: str) -> "AbstractContextManager[Pki]":
    """Open the PKI there, with the environment but nobody to ask; see :func:`smpki.ca.opening.open_pki`."""
    from smpki.ca.opening import open_pki

    return open_pki(home, process_surroundings(None, lambda message: None), action)
