"""Who may do what: the one place that says so. What isn't theirs is answered like what isn't there."""

from smpki.errors import ServiceError
from smpki.service.accounts.actor import Actor, Role

EVERYONE = (Role.PARTICIPANT, Role.OPERATOR, Role.AUDITOR)
STAFF = (Role.OPERATOR, Role.AUDITOR)


def require(actor: Actor, *roles: Role) -> None:
    """See that somebody has one of these roles.

    :raises ServiceError: ``service.desk.forbidden``
    """
    if actor.role not in roles:
        message = f"an account of role {actor.role} may not do this"
        hint = f"it takes {' or '.join(roles)}"
        raise ServiceError("service.desk.forbidden", message, hint=hint)


def sees(actor: Actor, subject_key: str) -> bool:
    """Whether somebody may see what is this participant's."""
    return actor.role in STAFF or actor.subject_key == subject_key


def unknown(where: object) -> ServiceError:
    """What is not there, or not theirs."""
    hint = "see the lists: they hold all that you may see"
    return ServiceError("service.desk.unknown", "there is no such thing here", where=str(where), hint=hint)


def decided(where: object, state: str) -> ServiceError:
    """Somebody else was faster."""
    message, hint = f"it is {state}: there is nothing to decide any more", "look at it again"
    return ServiceError("service.desk.decided", message, where=str(where), hint=hint)
