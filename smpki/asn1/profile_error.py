"""Well-formed structures that the profiles of the BSI don't allow."""


class ProfileError(ValueError):
    """What is there is well-formed, but not of the profile; the room that reads it turns this into its own refusal.

    :param rule: what was broken, in a word, such as ``version``
    :param message: one sentence
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(rule, message)
        self.rule = rule
        self.message = message
