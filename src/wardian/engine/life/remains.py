"""What is left of a container for a moment after its end is told: its root and groups, which its supervisor lets go.

That takes the kernel longer than all else of an end (an overlay's writes out the file system below it), so who stops or
waits for a container is answered before. Who makes an overlay on the same upper directory must wait: a start does, and
a view of the stopped container (files/views.py).
"""

import asyncio

from wardian.engine.files.roots import ROOTFS
from wardian.engine.options.config import ContainerConfig
from wardian.engine.registry import Container
from wardian.errors import UNAVAILABLE, WardianError
from wardian.runtime import SupervisorClient

_DEADLINE = 60.0  # of a disk that is to take what the container wrote


def tells_first(config: ContainerConfig) -> bool:
    """Not of one whose user may take away what it stood in as soon as it is said to have ended: the groups' parent, the
    root's directory. What else it had mounted has gone with its mount namespace."""
    return not (config["HostConfig.CgroupParent"] or config[ROOTFS])


class Remains:
    """Of one engine's containers, also of those that are removed by now."""

    def __init__(self) -> None:
        self._left: set[SupervisorClient] = set()

    def keep(self, container: Container, supervisor: SupervisorClient) -> None:
        """It has ended by `supervisor`, which is closed when all is gone."""
        if supervisor.gone().done():
            supervisor.close()
            return

        def let_go(_: object) -> None:
            self._left.discard(supervisor)
            if container.remains is supervisor:
                container.remains = None
            supervisor.close()

        container.remains = supervisor
        self._left.add(supervisor)
        supervisor.gone().add_done_callback(let_go)

    async def gone(self, container: Container) -> None:
        """Nothing is left of its last run. Raises WardianError(UNAVAILABLE) after a long while."""
        supervisor = container.remains
        if supervisor is None:
            return
        supervisor.let_go()
        done, _ = await asyncio.wait({supervisor.gone()}, timeout=_DEADLINE)
        if not done:
            message = f"container {container.id[:12]}: the root of its last run is not let go within {_DEADLINE:.0f} s"
            hint = "its supervisor waits in the kernel, for a disk that does not answer, say"
            raise WardianError(UNAVAILABLE, message, operation="start", subject=container.id, hint=hint)

    async def close(self) -> None:
        """Of an engine that ends, and takes the groups' parent along: what ended before is gone."""
        for supervisor in self._left:
            supervisor.let_go()
        if self._left:
            await asyncio.wait({supervisor.gone() for supervisor in self._left})
