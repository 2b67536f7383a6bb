"""What visitors sent, as it may be written to a terminal."""


def printable(text: str) -> str:
    """What visitors sent must not move the cursor of who reads it, nor turn the line around."""
    return "".join(
        character if character.isprintable() else f"\\u{{{ord(character):x}}}" for character in text
    )
