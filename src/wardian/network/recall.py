"""After an engine's start: who is still there is kept, all else is given back."""

import logging
import os
from collections.abc import Callable, Mapping

from wardian.errors import WardianError
from wardian.network.attachments import Attachments
from wardian.network.plumbing import Plumbing
from wardian.network.values import Recalled, SandboxWant

log = logging.getLogger(__name__)


class Recall:
    """`namespace` opens that of a living sandbox."""

    def __init__(self, attachments: Attachments, plumbing: Plumbing, namespace: Callable[[str], int]) -> None:
        self._attachments = attachments
        self._plumbing = plumbing
        self._namespace = namespace

    async def recall(self, live: Mapping[str, SandboxWant]) -> Recalled:
        """Forget the endpoints, ports and names of sandboxes that are not in `live`. The living answer to their names
        again, and leave networks that they do not ask for: an engine that ends in the middle of a connect has given
        the address, and nobody has heard of it. The supervisors of those that publish ports are to hear what holds
        now: an engine that ends in the middle of a change has told them nothing of it."""
        gone = [sandbox for sandbox in self._attachments.attached() if sandbox not in live]
        for sandbox in gone:
            try:
                await self._attachments.detach(sandbox)
            except (OSError, WardianError) as error:  # the next engine tries again
                log.warning("sandbox %s: its networks were not given back: %s", sandbox[:12], error)
        self._attachments.resume(live)
        for sandbox, want in live.items():
            await self._leave_strays(sandbox, want)
        publishing = [sandbox for sandbox, want in live.items() if want.ports]
        return Recalled(gone, {sandbox: self._attachments.standing(sandbox) for sandbox in publishing})

    async def _leave_strays(self, sandbox: str, want: SandboxWant) -> None:
        """An endpoint is a stray that is not asked for (any more), or, of an earlier version, whose link went before an
        engine ended in a disconnect."""
        given, asked = self._attachments.endpoints(sandbox), {one.network for one in want.endpoints}
        if not given:
            return
        try:
            netns_fd = self._namespace(sandbox)
        except OSError as error:  # its end will be heard of
            log.warning("sandbox %s: %s", sandbox[:12], error)
            return
        try:
            for one in given:
                try:
                    if one.network.id not in asked or await self._plumbing.has_left(one, netns_fd):
                        await self._attachments.disconnect(sandbox, one.network.id, netns_fd, want)
                except WardianError as error:
                    log.warning("sandbox %s does not leave %s: %s", sandbox[:12], one.network.name, error)
        finally:
            os.close(netns_fd)
