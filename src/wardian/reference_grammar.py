"""The grammar of image references (distribution/reference, "Grammar"), for the command and the engine alike.

    reference = [domain "/"] path [":" tag] ["@" digest]

`busybox` is short for `docker.io/library/busybox`. A first component is a domain only when it holds a dot or a colon,
is `localhost`, or has an upper-case letter (which no path may have). Without `re`: the command's start is quicker.
"""

DEFAULT_DOMAIN = "docker.io"
OFFICIAL = "library"
DEFAULT_TAG = "latest"
_NAME_LIMIT = 255
_TAG_LIMIT = 128
_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_WORD = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_DIGITS = frozenset("0123456789")
_HEX = frozenset("0123456789abcdef")
_ANY_HEX = _HEX | frozenset("ABCDEF")
_SEPARATORS = frozenset((".", "_", "__"))


class BadReference(ValueError):
    """No reference: `reason` says what is wrong where Docker says more than "invalid reference format", or is empty."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(f"invalid reference format: {reason}" if reason else "invalid reference format")
        self.reason = reason


def take_apart(text: str) -> tuple[str, str, str, str]:
    """Domain, path, tag and digest, the last two empty where none was written. Raises BadReference."""
    named = _split_domain(text)[1].partition(":")[0]  # docker looks at this first, whatever else is wrong
    if named != named.lower():
        raise BadReference(f"repository name ({named}) must be lowercase")
    rest, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise BadReference("unsupported digest algorithm" if _is_other_digest(digest) else "")
    head, colon, tag = rest.rpartition(":")
    has_tag = bool(colon) and "/" not in tag  # a colon before the last slash belongs to a port
    domain, path = _split_domain(head if has_tag else rest)
    if not _is_domain(domain) or not _is_path(path) or (has_tag and not is_tag(tag)):
        raise BadReference
    if len(domain) + 1 + len(path) > _NAME_LIMIT:
        raise BadReference(f"repository name must not be more than {_NAME_LIMIT} characters")
    return domain, path, tag if has_tag else "", digest


def familiar_name(domain: str, path: str) -> str:
    """The repository as people write it: `busybox`, `user/app`, `registry:5000/app`."""
    if domain != DEFAULT_DOMAIN:
        return f"{domain}/{path}"
    official, _, rest = path.partition("/")
    return rest if official == OFFICIAL and rest and "/" not in rest else path


def is_digest(text: str) -> bool:
    """Whether `text` is a sha256 digest, and so safe to become a file name."""
    return text.startswith("sha256:") and is_identifier(text[len("sha256:") :])


def is_identifier(text: str) -> bool:
    """64 hexadecimal digits: an id, and never a name."""
    return len(text) == 64 and _HEX.issuperset(text)


def is_tag(text: str) -> bool:
    return _made_of(text, _WORD | {"_", ".", "-"}) and text[0] not in ".-" and len(text) <= _TAG_LIMIT


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_domain = "." in first or ":" in first or first == "localhost" or first != first.lower()
    domain, path = (first, rest) if slash and is_domain else (DEFAULT_DOMAIN, name)
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = f"{OFFICIAL}/{path}"
    return domain, path


def _is_domain(text: str) -> bool:
    """Names of a host's components, or an IPv6 address in brackets; then a port."""
    if text.startswith("["):
        address, bracket, after = text[1:].partition("]")
        is_address = bool(bracket and address) and (_ANY_HEX | {":"}).issuperset(address)
        return is_address and (not after or (after[0] == ":" and _made_of(after[1:], _DIGITS)))
    host, colon, port = text.partition(":")
    return all(map(_is_label, host.split("."))) and (not colon or _made_of(port, _DIGITS))


def _is_label(text: str) -> bool:
    return _made_of(text, _WORD | {"-"}) and text[0] != "-" and text[-1] != "-"


def _is_path(text: str) -> bool:
    return all(map(_is_component, text.split("/")))


def _is_component(text: str) -> bool:
    """Lower-case words with `.`, `_`, `__` or any number of `-` between them."""
    separator = ""
    for character in text:
        if character not in _LOWER:
            separator += character
        elif separator:
            if separator not in _SEPARATORS and separator.strip("-"):
                return False
            separator = ""
    return bool(text) and text[0] in _LOWER and not separator


def _is_other_digest(text: str) -> bool:
    """algorithm:hex (OCI image specification, "Digests") of an algorithm that is not taken here."""
    algorithm, _, digits = text.partition(":")
    for sign in "-_.":
        algorithm = algorithm.replace(sign, "+")
    words = algorithm.split("+")
    named = all(_made_of(word, _WORD) and word[0] not in _DIGITS for word in words)
    return named and len(digits) >= 32 and _ANY_HEX.issuperset(digits)


def _made_of(text: str, characters: frozenset[str]) -> bool:
    return bool(text) and characters.issuperset(text)
