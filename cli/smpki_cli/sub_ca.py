"""``smpki issue-sub-ca``, and ``smpki sub-ca`` for a Sub-CA whose root is elsewhere."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from smpki_cli.certificates import certificate_rows, certificate_values
from smpki_cli.common import Output, command, read_file, surroundings
from smpki_cli.new_home import home_options, make_home

if TYPE_CHECKING:
    from smpki.ca.home import Home
    from smpki.ca.store.records import StoredCertificate

F = TypeVar("F", bound=Callable[..., Any])

_LARGEST = 1024 * 1024  # octets of requests or of a bundle
_ORDER = (
    click.option("--name", "organisation", required=True, metavar="ORG", help="Organisation: the CN becomes ORG.CA."),
    click.option("--country", default="DE", show_default=True),
    click.option("--email", help="Contact; in a test PKI one below .example by default."),
    click.option("--uri", help="Contact, also the CPS of its certificates; likewise."),
    click.option("--generation", help="Generation of its key, such as 2015. Default: what the policy says today."),
    click.option("--renew", is_flag=True, help="The next generation of a Sub-CA that exists."),
)


def _order_options(function: F) -> F:
    """The fields of :class:`smpki.ca.sub_cas.SubCaOrder`."""
    for option in reversed(_ORDER):
        function = option(function)
    return function


@command("issue-sub-ca")
@_order_options
@click.option("--request", type=click.Path(path_type=Path), help="The requests of a Sub-CA that runs elsewhere.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for bundle.pem.")
def issue_sub_ca_command(home: "Home", output: Output, request: Path | None, out: Path | None, **order: Any) -> None:
    """Make the Sub-CA ORG.CA with its key in the token, and its two TLS certificates.

    With --request, certify one whose keys are elsewhere, and its TLS key towards the root (smpki sub-ca request makes
    the file). OUT gets bundle.pem with all that its operator installs: roots, link certificates, CRL and TLS signer,
    and its certificates.
    """
    from smpki.ca.chain import bundle
    from smpki.ca.opening import open_pki
    from smpki.ca.output import pem_file, write_files
    from smpki.ca.sub_cas import SubCaOrder
    from smpki.policy.model import CertificateType

    requests = None if request is None else read_file(request, _LARGEST)
    wanted = SubCaOrder(**order)
    with open_pki(home, surroundings(), "issue-sub-ca") as pki:
        made = pki.create_sub_ca(wanted) if requests is None else pki.certify_sub_ca(wanted, requests)
        handed_on = bundle(pki.store, made, pki.clock())
    if out is not None:
        write_files(out, {"bundle.pem": pem_file(handed_on)})
    roots = [one for one in handed_on if one.kind == CertificateType.ROOT]
    values = {"certificates": certificate_values(made), "roots": _root_values(roots)}
    output.table(values, *certificate_rows(made))
    if out is not None:
        _show_roots(output, roots)


@click.group("sub-ca")
def sub_ca_command() -> None:
    """Be a Sub-CA whose root is elsewhere: requests go out as a file, certificates come in as one."""


@command("request")
@_order_options
@click.option("--number", type=click.IntRange(1), help="The number that the root will give it. Default: the next one.")
@home_options
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File for the requests.")
def request_command(
    home: "Home",
    output: Output,
    out: Path,
    number: int | None,
    policy_file: Path | None,
    **parameters: Any,
) -> None:
    """Make the keys of the Sub-CA ORG.CA in the token, and the requests for its root; makes the home if there is none.

    The policy has to be the root's. Called again, it makes requests for the same keys.
    """
    from smpki.ca.opening import open_pki
    from smpki.ca.output import write_files
    from smpki.ca.sub_cas import SubCaOrder

    settings = {name: parameters.pop(name) for name in ("environment", "module", "token", "database")}
    make_home(home, policy_file, **settings)
    with open_pki(home, surroundings(), "sub-ca-request") as pki:
        requests = pki.request_sub_ca(SubCaOrder(**parameters), number)
    write_files(out.parent, {out.name: requests})
    output.show({"requests": str(out)}, f"{out}: for the root's operator, then: smpki sub-ca install BUNDLE")


@command("install")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--root-sha256", metavar="HEX", help="Refuse another root than the one with this SHA-256.")
def install_command(home: "Home", output: Output, bundle: Path, root_sha256: str | None) -> None:
    """Install the bundle that the root's operator sent, and issue the Sub-CA's TLS certificate towards its end users.

    Compare the root's SHA-256, which is shown, with what its operator says by another way.
    """
    from smpki.ca.opening import open_pki

    content = read_file(bundle, _LARGEST)
    with open_pki(home, surroundings(), "sub-ca-install") as pki:
        installed = pki.install_sub_ca(content, root_sha256)
    values = {"certificates": certificate_values(installed.certificates), "roots": _root_values(installed.roots)}
    output.table(values, *certificate_rows(installed.certificates))
    _show_roots(output, installed.roots)


def _root_values(roots: "Iterable[StoredCertificate]") -> list[dict[str, object]]:
    return [
        {"common_name": one.subject_cn, "number": one.dn_serial, "sha256": hashlib.sha256(one.der).hexdigest()}
        for one in roots
    ]


def _show_roots(output: Output, roots: "Iterable[StoredCertificate]") -> None:
    if not output.as_json:
        for root in _root_values(roots):
            click.echo("SHA-256 of {common_name} {number}: {sha256}".format(**root))


sub_ca_command.add_command(request_command)
sub_ca_command.add_command(install_command)
