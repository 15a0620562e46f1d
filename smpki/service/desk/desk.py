"""The desk as a whole: what REST and the portal are given."""

import secrets

from smpki.ca.pki import Pki
from smpki.service.accounts.accounts import Accounts, Rules
from smpki.service.accounts.secret import Random
from smpki.service.desk.certificates import Certificates
from smpki.service.desk.crls import CrlShelf
from smpki.service.desk.packages import Packages
from smpki.service.desk.registrations import Registrations
from smpki.service.desk.trail import Trail


class Desk:
    """All that people and scripts can do with one Sub-CA. Threads may share it; its functions block.

    :param sub_ca: CN of the Sub-CA that issues
    :param accounts: ``None``: accounts by the usual rules
    :param random: gives that many random octets
    """

    def __init__(
        self,
        pki: Pki,
        sub_ca: str,
        accounts: Accounts | None = None,
        *,
        rules: Rules | None = None,
        random: Random = secrets.token_bytes,
    ) -> None:
        rules = rules or Rules()
        self.pki = pki
        self.sub_ca = sub_ca
        self.accounts = accounts or Accounts(pki, rules, random=random)
        self.registrations = Registrations(pki, rules.invitation, random)
        self.packages = Packages(pki, sub_ca)
        self.certificates = Certificates(pki, self.packages)
        self.crls = CrlShelf(pki)
        self.trail = Trail(pki)
