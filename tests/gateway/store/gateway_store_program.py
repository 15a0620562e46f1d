"""A gateway that stores and delivers until it is killed: ``gateway_store_program.py STORE RECEIVED FIRST COUNT``.

It stores one reading after the other, from FIRST on, and sends what is due to a participant that writes each message to
the file RECEIVED before it answers: the delivery's id, what is random in the message, and the document. Each line that
the program prints is a reading that was stored.
"""

import json
import os
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from smpki.gateway.readings import Obis, Reading
from smpki.gateway.store.outbox import Answered, Sealed, Selection
from smpki.gateway.store.store import GatewayStore
from smpki.policy.device_id import DeviceId

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
METER, A_PLUS = DeviceId.parse("1EMH0012345678"), Obis.parse("1-0:1.8.0")


def document(readings: Sequence[Reading]) -> bytes:
    return json.dumps([one.value for one in readings]).encode()


def main(file: str, received: str, first: int, count: int) -> None:
    store = GatewayStore.open(Path(file))
    selection = Selection(frozenset({(METER, A_PLUS)}))
    with Path(received).open("ab", buffering=0) as participant:
        for number in range(first, first + count):
            now = NOON + number * timedelta(minutes=15)
            with store.work() as work:
                work.readings.add([Reading(METER, A_PLUS, now, number, 0, 30, 0)], now=now)
                work.logs.append("system", "reading.stored", str(number), now=now)
            print(number, flush=True)
            if number % 3 == 0:
                with store.work() as work:
                    work.outbox.create("emt", selection, str(uuid.uuid4()), document, now=now)
            with store.view() as view:
                due = view.outbox.due("emt", now, limit=2)
            if number % 2 or not due:  # so that some go together
                continue
            with store.work() as work:
                messages = [(each, each.sealed or Sealed("", os.urandom(8) + each.document)) for each in due]
                work.outbox.attempt(messages, now=now, next_attempt_at=now)
            for delivery, message in messages:
                line = [delivery.id, message.message[:8].hex(), message.message[8:].decode()]
                participant.write(json.dumps(line).encode() + b"\n")
                os.fsync(participant.fileno())
            with store.work() as work:
                work.outbox.answer([Answered(delivery, "acknowledged", 204) for delivery in due], now=now)
                for delivery in due:
                    work.logs.append("consumer", "delivery.sent", delivery.id, now=now, consumer="anna")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
