"""What a registry's answer means, in Docker's words: clients match on them. Pure: an answer becomes an error."""

import json
from typing import Any

from wardian.errors import NOT_FOUND, SYSTEM, UNAUTHORIZED, UNAVAILABLE, WardianError
from wardian.images.reference import Reference

PULL, PUSH, LOGIN, INSPECT = "pull", "push", "login", "inspect"  # what a registry is asked for


def refusal(
    operation: str, reference: Reference, status: int, reason: str, data: bytes, url: str, *, known: bool
) -> WardianError:
    """The error for an answer that is no success. `known`: credentials were sent."""
    code, text = first_error(data)
    if operation == PULL:
        return _pull_refusal(reference, status, reason, code, text, url, known)
    if status in (401, 403):
        return denial(operation, reference, data, status, url, known=known)
    kind = NOT_FOUND if status == 404 else UNAVAILABLE if status >= 500 or status == 429 else SYSTEM
    message = text or f'"{url}": {f"{status} {reason}".strip()}'
    return WardianError(kind, message, operation=operation, subject=reference.familiar_name)


def _pull_refusal(
    reference: Reference, status: int, reason: str, code: str, text: str, url: str, known: bool
) -> WardianError:
    name = reference.familiar_name
    if status == 404 and "/manifests/" in url and code in ("", "MANIFEST_UNKNOWN"):
        message = f"manifest for {reference.familiar} not found: manifest unknown: manifest unknown"
        return WardianError(NOT_FOUND, message, operation=PULL, subject=reference.familiar)
    if code == "NAME_UNKNOWN":
        return WardianError(NOT_FOUND, f"repository {name} not found: {text}", operation=PULL)
    if status in (401, 403):
        return _pull_denial(reference, status, code, text, url, known)
    if status == 429:
        return WardianError(UNAVAILABLE, text or "toomanyrequests: the registry limits pulls", operation=PULL)
    kind = NOT_FOUND if status == 404 else UNAVAILABLE if status >= 500 else SYSTEM
    said = text or f"{status} {reason}".strip()
    return WardianError(kind, f'Get "{url}": {said}', operation=PULL, subject=url)


def denial(operation: str, reference: Reference, data: bytes, status: int, url: str, *, known: bool) -> WardianError:
    """The error for a 401 or 403, of the registry or of its token server."""
    code, text = first_error(data)
    if operation == PULL:
        return _pull_denial(reference, status, code, text, url, known)
    subject = reference.familiar_name
    if operation == LOGIN:
        said = text or f"unauthorized: {status}"
        return WardianError(UNAUTHORIZED, f'Get "{_root(url)}/v2/": {said}', operation=operation, subject=subject)
    said = text or "denied: requested access to the resource is denied"
    hint = "" if known else "docker login first"
    return WardianError(UNAUTHORIZED, said, operation=operation, subject=subject, hint=hint)


def _pull_denial(reference: Reference, status: int, code: str, text: str, url: str, known: bool) -> WardianError:
    name = reference.familiar_name
    if status == 401 and code != "DENIED" and known:
        message = f'Get "{_root(url)}/v2/": unauthorized: {text or "authentication required"}'
        return WardianError(SYSTEM, message, operation=PULL, subject=name)
    said = text if code == "DENIED" else "denied: requested access to the resource is denied"
    return WardianError(
        NOT_FOUND,
        f"pull access denied for {name}, repository does not exist or may require 'docker login': {said}",
        operation=PULL,
        subject=name,
    )


def _root(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])


def first_error(data: bytes) -> tuple[str, str]:
    """Code and text of a registry's error body: ("DENIED", "denied: requested access …"); empty when it has none."""
    errors = json_object(data).get("errors")
    first = errors[0] if isinstance(errors, list) and errors else {}
    if not isinstance(first, dict) or not first.get("code"):
        return "", ""
    code = str(first["code"])[:100]
    return code, f"{code.lower().replace('_', ' ')}: {str(first.get('message') or '')[:500]}"


def json_object(data: bytes) -> dict[str, Any]:
    """A JSON object, {} for anything else."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
