"""Load a policy file: YAML in, a checked :class:`~smpki.policy.model.Policy` out, complaints with path and line."""

from importlib import resources
from pathlib import Path

from smpki.errors import PolicyError
from smpki.policy.consistency import contradictions, missing_parts
from smpki.policy.document import Document, Wording
from smpki.policy.model import Policy

_WORDING = Wording(
    PolicyError,
    "policy",
    hint="mend this line, then run: smpki policy check FILE",
    start="start from: smpki policy show --yaml",
)


def default_policy_text() -> str:
    """The text of the policy that comes with the package."""
    packaged = resources.files("smpki.policy") / "root-cp.yaml"
    source_tree = Path(__file__).parents[2] / "policies" / "root-cp.yaml"
    return (packaged if packaged.is_file() else source_tree).read_text(encoding="utf-8")


def load_policy(text: str, *, name: str = "root-cp.yaml") -> Policy:
    """Read and check a policy.

    :param text: the YAML document
    :param name: what to call the file in messages
    :raises PolicyError: ``policy.yaml``, ``policy.invalid`` or ``policy.contradiction``; ``where`` is
        ``file:line: path`` of the first complaint, the message counts the others
    """
    document = Document(text, name, _WORDING)
    policy = document.load(Policy)
    if complaints := list(missing_parts(policy)):
        raise document.refusal("invalid", complaints)
    if complaints := list(contradictions(policy)):
        raise document.refusal("contradiction", complaints)
    return policy
