"""The steps from one version of the tables to the next, run by Alembic inside the program."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def configuration(connection: Connection, steps: Path, version_table: str) -> Config:
    """Alembic's settings, made here: there is no alembic.ini, and logging stays as the program set it.

    :param steps: folder of the steps
    :param version_table: where the database notes its version
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("version_locations", str(steps).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes |= {"connection": connection, "version_table": version_table}
    return config


def upgrade(connection: Connection, steps: Path, version_table: str, to: str = "head") -> None:
    """Bring the tables up to date, or to a version, inside the caller's transaction."""
    command.upgrade(configuration(connection, steps, version_table), to)
