"""The one exception that means "tell the user", and the nearest-name hint its messages use."""

from __future__ import annotations

from collections.abc import Iterable


class EspretError(Exception):
    """Something the user can mend. The message names file and line, what was found, what was expected, and how to
    mend it; `espret VERB` prints it without a traceback and exits with `status`."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


LISTED = 20  # names that a message lists


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest of `known` to `name`, or the list of them when nothing is close."""
    import difflib  # here, for the job runners start with every command and seldom err

    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    more = f" and {len(choices) - LISTED} more" if len(choices) > LISTED else ""
    return f"; known: {', '.join(choices[:LISTED])}{more}" if choices else ""
