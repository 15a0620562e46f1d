"""``smpki root``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.certificates import certificate_rows, certificate_values
from smpki_cli.common import Output, command, surroundings

if TYPE_CHECKING:
    from smpki.ca.home import Home


@click.group("root")
def root_command() -> None:
    """The root."""


@command("renew")
@click.option("--generation", help="Generation of the new keys, such as 2025. Default: what the policy says today.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for root, link and chain.")
def renew_command(home: "Home", output: Output, generation: str | None, out: Path | None) -> None:
    """Make the next root with a new key, the link certificate from the old one, CRL signer and TLS signer.

    Old and new root live side by side. OUT gets root.pem (the new root), link.pem (the new root's key, signed by the
    old root) and chain.pem (all roots that are valid, and the link certificates between them).
    """
    from smpki.ca.chain import roots_and_links
    from smpki.ca.opening import open_pki
    from smpki.ca.output import pem_file, write_files
    from smpki.policy.model import CertificateType

    if out is not None:
        write_files(out, {})  # a folder that can't be made is told before anything else is
    with open_pki(home, surroundings(), "root-renew") as pki:
        made = pki.renew_root(generation)
        chain = roots_and_links(pki.store, pki.clock())
    if out is not None:
        by_kind = {one.kind: one for one in made}
        root, link = by_kind[CertificateType.ROOT], by_kind[CertificateType.LINK]
        write_files(out, {"root.pem": pem_file([root]), "link.pem": pem_file([link]), "chain.pem": pem_file(chain)})
    output.table({"certificates": certificate_values(made)}, *certificate_rows(made))


root_command.add_command(renew_command)
