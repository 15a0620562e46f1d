"""The desk as a whole: what REST and the portal are given."""

import secrets

from smpki.ca.pki import Pki
from smpki.errors import ServiceError
from smpki.service.accounts.accounts import Accounts, Rules
from smpki.service.accounts.secret import Random
from smpki.service.accounts.store.accounts import Account
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

    def join(self, invitation: str, password: str | None = None) -> Account:
        """Use an invitation up, or the claim of an application. See :meth:`Accounts.join`.

        :raises ServiceError: ``service.desk.application.waiting``, ``.refused``; as :meth:`Accounts.join`
        """
        try:
            return self.accounts.join(invitation, password)
        except ServiceError as error:
            if error.code == "service.account.invitation":
                self.registrations.explain(invitation)
            raise
