"""The exit code of a container whose command could not be started: Docker tells its class by the error's words."""

_NOT_FOUND_WORDS = ("executable file not found", "no such file or directory", "system cannot find the file specified")
_NOT_EXECUTABLE_WORDS = ("permission denied", "is a directory", "exec format error", "wrong architecture")


def failed_start_code(message: str, otherwise: int) -> int:
    """127 for a command that is not there, 126 for one that cannot be run, `otherwise` for any other failure."""
    said = message.lower()  # strerror(3) says "No such file", docker's way of saying it does not
    if any(words in said for words in _NOT_FOUND_WORDS):
        return 127
    if any(words in said for words in _NOT_EXECUTABLE_WORDS):
        return 126
    return otherwise
