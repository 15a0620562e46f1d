"""The kinds of jobs there are."""

from collections.abc import Mapping

from smpki.service.administrator import settings
from smpki.service.administrator.hand_over import HAND_OVER
from smpki.service.administrator.keys import NEW_KEYS, SETTLE
from smpki.service.administrator.participants import TELL
from smpki.service.administrator.plan import Plan
from smpki.service.administrator.standing import CHANGE

PLANS: Mapping[str, Plan] = {
    "wake": settings.WAKE,
    "personalise": NEW_KEYS,
    "renew": NEW_KEYS,
    "settle": SETTLE,
    "set": settings.SET,
    "participants": TELL,
    "status": settings.STATUS,
    "log": settings.LOG,
    "self-test": settings.SELF_TEST,
    "report": settings.REPORT,
    "introduce": settings.INTRODUCE,
    "suspend": CHANGE,
    "resume": CHANGE,
    "hand-over": HAND_OVER,
}
"""By the kind's name."""

KEY_JOBS = ("personalise", "renew", "settle")
"""Those that end with other WAN keys."""

LEAVING = ("suspend", "hand-over")
"""Those after which the gateway is not let in any more."""
