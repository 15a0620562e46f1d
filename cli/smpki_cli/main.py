"""The command ``smpki``. Commands are imported when they are called, so that ``smpki --help`` starts at once."""

import atexit
import gc
import importlib
from pathlib import Path

import click

# looking for garbage while some hundred modules are imported takes a fifth of the time to start
gc.set_threshold(100_000)
# and so does to look through all of it once more at the end
atexit.register(gc.freeze)

COMMANDS = {
    "init": ("init", "Make a PKI: token, root, CRL signer, TLS signer."),
    "root": ("root", "Change the root's key."),
    "issue-sub-ca": ("sub_ca", "Make, renew or certify a Sub-CA."),
    "sub-ca": ("sub_ca", "Be a Sub-CA whose root is elsewhere."),
    "ceremony": ("ceremony", "Hold a key ceremony."),
    "issue": ("issue", "Issue TLS, SIG and ENC certificates for request packages."),
    "issue-batch": ("batch", "Issue triples for a folder of packages or NDJSON."),
    "serve": ("serve", "Be the web service of a CA (TR-03129-4)."),
    "register": ("register", "Register a participant with its first package."),
    "registry": ("register", "Who is registered, and for what."),
    "account": ("account", "Who may use the service for people and scripts."),
    "queue": ("queue", "Requests of the web service that an operator decides on, or that wait."),
    "messages": ("queue", "What others told the web service."),
    "process": ("process", "Act on a signed revocation request or UpdateDeviceAdmin."),
    "request": ("request", "Make request packages and send them, as a participant does."),
    "revocation-request": ("revocation_request", "Ask to revoke, suspend or resume, as a participant does."),
    "device-admin": ("device_admin", "Hand gateways over to another administrator, as the one in charge does."),
    "participant": ("participant", "Watch certificates, renew them over the web service, take results."),
    "revoke": ("revocation", "Revoke certificates for good."),
    "suspend": ("revocation", "Suspend a gateway's certificates."),
    "resume": ("revocation", "End a suspension."),
    "settle-suspensions": ("revocation", "End the suspensions that have lasted their longest time."),
    "crl": ("crl", "Issue, list and publish CRLs."),
    "publish": ("publish", "Give out CRLs and certificates: by HTTP, and in a directory."),
    "list": ("certificates", "List certificates."),
    "show": ("certificates", "Show one certificate."),
    "inspect": ("look", "Explain certificates, CRLs and request packages."),
    "lint": ("look", "Check certificates, CRLs and request packages against the policy."),
    "verify": ("verify", "Does a chain hold?"),
    "audit": ("audit", "Verify the audit chain."),
    "backup": ("backup", "Write a backup, while the PKI works."),
    "restore": ("backup", "Restore a backup."),
    "cms": ("cms", "Protect contents for their recipient, and open them."),
    "gateway": ("gateway", "Make, wake and run gateways."),
    "gwa": ("gwa", "Be the administrator of gateways: adopt, wake, personalise, renew them."),
    "emt": ("emt", "Be a market participant that takes readings from gateways."),
    "tls": ("tls", "Try TLS with a peer, from either side."),
    "policy": ("policy", "Check and show Certificate Policies."),
    "hsm": ("hsm", "Show the token."),
    "ca": ("ca", "List the CAs."),
}
"""Command to module (below ``smpki_cli``) and one line of help."""


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"smpki_cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Help, from the table above: no command is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="smpki")
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), envvar="SMPKI_HOME", help="The PKI's folder.")
@click.pass_context
def main(ctx: click.Context, home: Path | None) -> None:
    """Issue and manage certificates of the German Smart Metering PKI (BSI TR-03109-4).

    Every command takes --home DIR (or SMPKI_HOME) and, where it prints, --json. It ends with 0 when all was done, with
    1 when something was refused or failed, with 2 when it was called wrongly.
    """
    ctx.obj = home
