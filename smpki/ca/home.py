"""A PKI's folder: where its configuration, policy, secrets, token and database lie."""

import os
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from smpki.errors import IssuingError, SmpkiError
from smpki.policy.load import load_policy
from smpki.policy.model import EnvironmentName, Policy


class Settings(BaseModel):
    """What ``settings.yaml`` holds.

    :param environment: ``test`` or ``production``
    :param database: a SQLAlchemy URL; ``None`` is SQLite in the home
    :param module: the PKCS#11 module, a name that p11-kit knows or a path; ``None`` is SoftHSM, its token in the home
    :param token: label of the token
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    environment: EnvironmentName
    database: str | None = None
    module: str | None = None
    token: str = "smpki"  # noqa: S105 - a label, not a secret


@dataclass(frozen=True)
class Home:
    """The folder of one PKI (``--home``, ``SMPKI_HOME``)."""

    folder: Path

    @property
    def settings_file(self) -> Path:
        """Environment, database and token; it exists once the home was made."""
        return self.folder / "settings.yaml"

    @property
    def policy_file(self) -> Path:
        """The policy in force: a copy, so that a later change is a decision and not an accident."""
        return self.folder / "policy.yaml"

    @property
    def pin_file(self) -> Path:
        """The token's PIN, mode 0600, unless the operator keeps it elsewhere."""
        return self.folder / "pin"

    @property
    def so_pin_file(self) -> Path:
        """The PIN of SoftHSM's security officer, mode 0600: it sets a new user PIN."""
        return self.folder / "so-pin"

    @property
    def token_folder(self) -> Path:
        """SoftHSM's files."""
        return self.folder / "softhsm"

    @property
    def token_lock(self) -> Path:
        """Held while a process logs in to a token that is not SoftHSM's."""
        return self.folder / "token.lock"

    @property
    def audit_key_file(self) -> Path:
        """The key of the audit chain's MACs, mode 0600."""
        return self.folder / "audit.key"

    @property
    def audit_head_file(self) -> Path:
        """The audit chain's newest head, kept outside the database."""
        return self.folder / "audit.head"

    @property
    def published_folder(self) -> Path:
        """CRLs for a web server, unless the operator keeps them elsewhere."""
        return self.folder / "published"

    @property
    def run_folder(self) -> Path:
        """A locked file for every process that is issuing."""
        return self.folder / "run"

    def database_url(self, settings: Settings) -> str:
        """The SQLAlchemy URL of the store."""
        return settings.database or f"sqlite:///{self.folder.absolute() / 'smpki.db'}"

    def settings(self) -> Settings:
        """Read the settings.

        :raises IssuingError: ``home.missing`` when the home was never made, ``home.settings`` when the file is wrong
        """
        try:
            return Settings.model_validate(yaml.safe_load(self.settings_file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            message = "there is no PKI in this home"
            raise IssuingError("home.missing", message, where=str(self.folder), hint="make one: smpki init") from None
        except ValidationError as error:
            first = error.errors()[0]
            message = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise _wrong(self.settings_file, message) from None
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise _wrong(self.settings_file, f"not readable: {type(error).__name__}") from None

    def policy(self) -> Policy:
        """Read the policy in force.

        :raises PolicyError: when the file has an error
        :raises IssuingError: ``home.settings`` when it is not there
        """
        try:
            text = self.policy_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _wrong(self.policy_file, f"not readable: {type(error).__name__}") from None
        return load_policy(text, name=str(self.policy_file))

    def create(self, settings: Settings, policy_text: str) -> None:
        """Make the folder (0700) with settings and policy; a PKI that is there already must be the same, unfinished.

        :raises IssuingError: ``home.other`` when the home belongs to another environment, database or token
        :raises SmpkiError: ``home.unwritable`` when the folder can't be made
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.run_folder.mkdir(mode=0o700, exist_ok=True)
            before = self.settings() if self.settings_file.exists() else None
            if before == settings:
                return
            if before is not None and self.audit_head_file.exists():  # it is there once the database is made
                message = "the home was made with other settings"
                raise IssuingError("home.other", message, where=str(self.folder), hint="choose another --home")
            _write(self.policy_file, policy_text)
            _write(self.settings_file, yaml.safe_dump(settings.model_dump(), sort_keys=False))
        except OSError as error:
            message = f"the home can't be written: {error.strerror}"
            raise SmpkiError("home.unwritable", message, where=str(self.folder), hint="choose another --home") from None


def _write(file: Path, text: str) -> None:
    """Write a whole file or none, for the owner only: a kill leaves no half of it, and database URLs hold passwords."""
    partial = file.with_name(file.name + ".new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as stream:  # noqa: PTH123
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.rename(file)


def _wrong(file: Path, message: str) -> IssuingError:
    return IssuingError("home.settings", message, where=str(file), hint="restore the file from a backup")
