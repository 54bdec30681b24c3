"""One error type for the whole house: a kind, an operation, a subject, errno where there is one, and a hint.

A kind says what class of thing went wrong. An error is logged once, at the boundary. This module imports nothing of
Wardian and nothing heavy.
"""

NOT_FOUND = "not found"
CONFLICT = "conflict"
INVALID = "invalid"
NOT_MODIFIED = "not modified"
FORBIDDEN = "forbidden"
UNAUTHORIZED = "unauthorized"
UNAVAILABLE = "unavailable"
NOT_IMPLEMENTED = "not implemented"
REFUSED = "refused"  # as INVALID and CONFLICT are, where Docker answers 500: no trouble of ours
SYSTEM = "system"

# The HTTP status that a kind is told by: the server writes it, the client reads it.
STATUS = {
    NOT_MODIFIED: 304,
    INVALID: 400,
    UNAUTHORIZED: 401,
    FORBIDDEN: 403,
    NOT_FOUND: 404,
    CONFLICT: 409,
    REFUSED: 500,
    SYSTEM: 500,  # behind REFUSED: what a client takes a 500 for
    NOT_IMPLEMENTED: 501,
    UNAVAILABLE: 503,
}
KINDS = frozenset(STATUS)


class WardianError(Exception):
    """What went wrong, for a person and for a program.

    `message` is the whole sentence that a client sees (docker's clients match on some of them); `kind` is one of the
    constants above; `operation` and `subject` name what was being done to what; `errno` is the kernel's number or 0;
    `hint` says how to mend it, or is empty.
    """

    def __init__(
        self, kind: str, message: str, *, operation: str = "", subject: str = "", errno: int = 0, hint: str = ""
    ) -> None:
        assert kind in KINDS, kind
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.operation = operation
        self.subject = subject
        self.errno = errno
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message
