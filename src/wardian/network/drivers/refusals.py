"""What drivers refuse beyond the values of options, which `network.options` checks for all of them."""

from wardian.errors import CONFLICT, NOT_IMPLEMENTED, WardianError


def not_built(option: str) -> WardianError:
    """An option that was accepted and did nothing would be believed."""
    text = f"the option {option} is not built yet"
    return WardianError(NOT_IMPLEMENTED, text, operation="create network", subject=option)


def link_in_use(link: str, by: str) -> WardianError:
    return WardianError(
        CONFLICT,
        f"the link {link} exists and {by}",
        operation="make a bridge",
        subject=link,
        hint="name another bridge (com.docker.network.bridge.name; --bridge for the engine's own)",
    )
