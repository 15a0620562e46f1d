"""Values of strangers, made harmless for a terminal."""


def visible(text: str) -> str:
    """The text with everything escaped that a terminal would not simply print.

    Control characters, ANSI escapes, bidirectional marks and other invisible characters become ``\\x1b`` or
    ``\\u202e``. What is visible already stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(map(_visible_character, text))


def quoted(text: str, *, longest: int = 80) -> str:
    """The text in quotation marks for a message: made visible, and cut behind ``longest`` characters."""
    return f"'{visible(text[:longest])}{'...' if len(text) > longest else ''}'"


def _visible_character(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
