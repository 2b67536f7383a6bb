"""The operator: who gives a command, for what is noted of changes."""

import getpass
import socket


def who() -> str:
    """In whose name changes are made."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
