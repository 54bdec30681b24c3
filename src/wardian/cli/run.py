"""`run`, `create`, and `plan`, which asks the engine what run would do.

The order of requests is docker's: create (after a pull when the image is missing), attach, wait, start. Attach and wait
come before start, so that no byte and no exit is missed.
"""

from __future__ import annotations

import os
import sys

from wardian.cli.command import Command, Failure, error_text, path_name
from wardian.cli.create_body import FLAG_CODE, BodyError, create_body
from wardian.cli.interrupts import Interrupts
from wardian.cli.run_flags import CREATE_FLAGS, RUN_FLAGS
from wardian.errors import WardianError
from wardian.failed_start import failed_start_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wardian.cli.command import Invocation
    from wardian.cli.streams import Session
    from wardian.client import Hijacked, Stream


def _failed(invocation: Invocation, error: WardianError) -> Failure:
    """An error of the engine, told as run tells it."""
    said_by_engine = hasattr(error, "status")  # the words of an error of this side say nothing of the container
    code = failed_start_code(str(error), FLAG_CODE) if said_by_engine else FLAG_CODE
    return _told(invocation, error_text(error), code)


def _told(invocation: Invocation, message: str, code: int) -> Failure:
    return Failure(f"wardian: {message}\n\nRun 'wardian {invocation.path} --help' for more information", code)


def run(invocation: Invocation) -> int:
    from wardian.cli.streams import check_terminal, detach_keys

    body = _body(invocation, RUN_FLAGS)
    detach = invocation.flag("detach")
    if detach:
        if invocation.words("attach"):
            raise Failure("conflicting options: cannot specify both --attach and --detach")
        body.update(AttachStdin=False, AttachStdout=False, AttachStderr=False, StdinOnce=False)
    else:
        check_terminal(bool(body["AttachStdin"]), bool(body["Tty"]))
        detach_keys(invocation)
    interrupts = Interrupts()
    try:
        identity = _create(invocation, body, interrupts)
    except WardianError as error:
        raise _failed(invocation, error) from None
    except Failure as failure:
        raise _told(invocation, failure.message, FLAG_CODE) from None
    try:
        interrupts.release()
        if detach:
            return _run_detached(invocation, identity)
        return _run_attached(invocation, identity, body)
    except KeyboardInterrupt:
        if body["HostConfig"]["AutoRemove"]:
            _remove_unstarted(invocation, identity)
        raise


def _remove_unstarted(invocation: Invocation, identity: str) -> None:
    """What --rm promises for a container that never ran; one that runs is refused here, and goes at its end."""
    try:
        invocation.client.call("DELETE", f"/containers/{identity}", query={"v": True})
    except WardianError:
        pass


def create(invocation: Invocation) -> int:
    identity = _create(invocation, _body(invocation, CREATE_FLAGS), Interrupts())
    print(identity)
    return 0


def _body(invocation: Invocation, flags: tuple[Any, ...]) -> dict[str, Any]:
    if invocation.flag("replace") and not invocation.text("name"):
        raise _told(invocation, "cannot replace container without --name being set", FLAG_CODE)
    try:
        body = create_body(flags, invocation.parsed)
    except BodyError as error:
        raise _told(invocation, error.message, error.code) from None
    if body["Tty"]:
        from wardian.client.console import terminal_size

        body["HostConfig"]["ConsoleSize"] = list(terminal_size() or (0, 0))
    if invocation.settings.get("proxies"):
        from wardian.cli.settings import add_proxies

        body["Env"] = add_proxies(body["Env"] or [], invocation.settings, str(invocation.client.target)) or None
    return body


def _create(invocation: Invocation, body: dict[str, Any], interrupts: Interrupts) -> str:
    """Makes the container and answers its id, which --cidfile keeps. From then on `interrupts` holds Ctrl-C back."""
    path = invocation.text("cidfile")
    if not path:
        return _make(invocation, body, interrupts)
    # Before the container: one whose id cannot be kept is not made.
    _touch_id_file(path)
    identity = ""
    try:
        identity = _make(invocation, body, interrupts)
    finally:
        if not identity:
            os.unlink(path)
    with open(path, "w") as file:
        file.write(identity)
    return identity


def _touch_id_file(path: str) -> None:
    if os.path.exists(path):
        raise Failure(f"container ID file found, make sure the other container isn't running or delete {path}")
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    except OSError as error:
        raise Failure(f"failed to create the container ID file: open {path}: {str(error.strerror).lower()}") from None


def _make(invocation: Invocation, body: dict[str, Any], interrupts: Interrupts) -> str:
    """Asks for the container; pulls its image first where that is asked for or needed."""
    if invocation.text("pull") == "always" and body["Image"]:
        _pull(invocation, body)
    try:
        answer = _post_create(invocation, body, interrupts)
    except WardianError as error:
        if not _lacks_image(error, str(body["Image"])) or invocation.text("pull") != "missing":
            raise
        _say_missing(str(body["Image"]))
        _pull(invocation, body)
        answer = _post_create(invocation, body, interrupts)
    for warning in answer.get("Warnings") or ():
        sys.stderr.write(f"WARNING: {warning}\n")
    return str(answer["Id"])


def _post_create(invocation: Invocation, body: dict[str, Any], interrupts: Interrupts) -> dict[str, Any]:
    query = {"name": invocation.text("name") or None, "platform": invocation.text("platform") or None}
    interrupts.hold()
    try:
        try:
            answer = invocation.client.call("POST", "/containers/create", body, query)
        except WardianError as error:
            if not invocation.flag("replace") or not _lacks_name(error):
                raise
            # not before: an image or an option that is refused costs nobody the old one
            old = path_name(invocation.text("name"))
            invocation.client.call("DELETE", f"/containers/{old}", query={"force": True})
            answer = invocation.client.call("POST", "/containers/create", body, query)
    except BaseException:
        interrupts.release()
        raise
    assert isinstance(answer, dict)
    return answer


def _lacks_name(error: WardianError) -> bool:
    return getattr(error, "status", 0) == 409 and "is already in use by container" in str(error)


def _lacks_image(error: WardianError, image: str) -> bool:
    """Whether a pull may mend it. Raises Failure when the engine refused what is no name of an image."""
    status = getattr(error, "status", 0)
    if not image:  # --rootfs
        return False
    if status in (400, 404):
        from wardian.cli.references import parse_name

        parse_name(image)
    # The image of another platform is as good as none.
    return status == 404 and ("No such image" in str(error) or "does not match the specified platform" in str(error))


def _say_missing(image: str) -> None:
    from wardian.cli.references import parse_name

    try:
        image = parse_name(image).shown
    except Failure:
        pass
    sys.stderr.write(f"Unable to find image '{image}' locally\n")


def _pull(invocation: Invocation, body: dict[str, Any]) -> None:
    from wardian.cli.pull import pull_image

    pull_image(invocation, str(body["Image"]), quiet=invocation.flag("quiet"), out=2)


def _run_detached(invocation: Invocation, identity: str) -> int:
    query = {"detachKeys": invocation.text("detach-keys") or None}
    try:
        invocation.client.call("POST", f"/containers/{identity}/start", query=query)
    except WardianError as error:
        raise _failed(invocation, error) from None
    print(identity)
    return 0


def _run_attached(invocation: Invocation, identity: str, body: dict[str, Any]) -> int:
    from wardian.cli.streams import Session, detach_keys

    keys = detach_keys(invocation)
    client, container, tty = invocation.client, f"containers/{identity}", bool(body["Tty"])
    stdin = bool(body["AttachStdin"])
    query = {
        "stream": True,
        **{stream: bool(body[f"Attach{stream.title()}"]) for stream in ("stderr", "stdin", "stdout")},
        "detachKeys": keys or None,
    }
    condition = "removed" if body["HostConfig"]["AutoRemove"] else "next-exit"
    with Session(client, container, tty, invocation.flag("sig-proxy"), keys, waits=True) as session:
        try:
            hijacked = client.hijack("POST", f"/{container}/attach", query=query)
            waiting = client.stream("POST", f"/{container}/wait", query={"condition": condition})
        except WardianError as error:
            raise _failed(invocation, error) from None
        try:
            client.call("POST", f"/{container}/start", query={"detachKeys": keys or None})
        except WardianError as error:
            hijacked.sock.close()
            _wait_for_removal(waiting, condition)
            raise _failed(invocation, error) from None
        return _follow(session, hijacked, waiting, condition, stdin)


def _follow(session: Session, hijacked: Hijacked, waiting: Stream, condition: str, stdin: bool) -> int:
    if session.tty:
        session.resize()
    session.copy(hijacked, stdin)
    if session.detached:
        return 0
    return session.exit_code(waiting, condition)


def _wait_for_removal(waiting: Stream, condition: str) -> None:
    """A container that did not start and goes by --rm is gone when this command ends, or after three seconds."""
    import select

    if condition == "removed":
        select.select([waiting], [], [], 3.0)


def plan(invocation: Invocation) -> int:
    from wardian.cli.explain import show_plan

    body = _body(invocation, RUN_FLAGS)
    try:
        answer = invocation.client.call("POST", "/wardian/plan", body)
    except WardianError as error:
        raise _failed(invocation, error) from None
    assert isinstance(answer, dict)
    show_plan(answer)
    return 0


_USAGE = "[OPTIONS] IMAGE [COMMAND] [ARG...]"
RUN = Command(run, _USAGE, RUN_FLAGS, least=1, interspersed=False)
CREATE = Command(create, _USAGE, CREATE_FLAGS, least=1, interspersed=False)
PLAN = Command(plan, _USAGE, RUN_FLAGS, least=1, interspersed=False)
