"""Lengths of time as policies write them: ``5y``, ``30d``, ``48h``."""

import calendar
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_TEXT = re.compile(r"([1-9][0-9]{0,4})([ydh])")


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time in one unit.

    :param count: how many
    :param unit: ``y`` (calendar years), ``d`` (days) or ``h`` (hours)
    """

    count: int
    unit: str

    @classmethod
    def parse(cls, text: object) -> "Duration":
        """Read ``5y``, ``30d`` or ``48h``.

        :raises ValueError: for anything else
        """
        match = _TEXT.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"{text!r} is not a length of time such as 5y, 30d or 48h")
        return cls(int(match[1]), match[2])

    def after(self, moment: datetime) -> datetime:
        """The moment that lies this length behind ``moment``; 29 February becomes 28 where a year has none.

        :raises OverflowError: past the year 9999
        """
        return self._moved(moment, self.count)

    def before(self, moment: datetime) -> datetime:
        """The moment that lies this length before ``moment``; 29 February becomes 28 where a year has none.

        :raises OverflowError: before the year 1
        """
        return self._moved(moment, -self.count)

    def _moved(self, moment: datetime, count: int) -> datetime:
        if self.unit != "y":
            return moment + (timedelta(days=count) if self.unit == "d" else timedelta(hours=count))
        year = moment.year + count
        if not 1 <= year <= 9999:
            raise OverflowError("the date lies outside of the years 1 to 9999")
        return moment.replace(year=year, day=min(moment.day, calendar.monthrange(year, moment.month)[1]))

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        serialise = core_schema.plain_serializer_function_ser_schema(str)
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=serialise)
