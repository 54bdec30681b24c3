"""Names of containers: Docker's grammar, and made-up ones from Wardian's own two lists: plants, what they are like."""

import random
import re

from wardian.errors import INVALID, WardianError

# the grammar docker documents for names
_NAME = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def _words(text: str) -> list[str]:
    return text.split()


_ADJECTIVES = _words(
    """
    airy alpine amber ample aromatic autumn balmy blooming breezy bright budding calm climbing coastal copper crisp
    curly dappled dewy downy drowsy dusky early earthy evergreen fallow feathery fern fertile fragrant fresh frosty
    gentle glassy gleaming golden graceful grassy hardy hazel hidden humid ivory jade lanky leafy lively lofty lucid
    lush marshy mellow mild misty mossy nimble noble northern oaken opal patient pearly placid quiet rainy resting
    rooted rosy russet sandy seaborne shady silken silver slender snowy spicy spring sprouting starry sturdy sunny
    supple tall tangled tender thorny tidal tranquil twining upland velvet verdant vernal vivid waxen wild windy
    winter woody young
    """
)
_NOUNS = _words(
    """
    acacia agave alder aloe anemone aspen aster azalea bamboo banyan basil begonia birch bluebell bracken bramble
    bromeliad cactus camellia campion cedar celandine chestnut chicory clematis clover columbine coppice cowslip
    crocus cycad cypress dahlia daisy dogwood elder elm fennel fern ficus foxglove freesia fuchsia gentian ginkgo
    gorse hawthorn hazel heather hellebore hemlock holly honesty hornbeam hyacinth iris ivy jasmine juniper kelp larch
    lavender lichen lilac lily linden lotus lupin magnolia maidenhair mallow maple marigold mimosa mistletoe moss
    mulberry myrtle nettle oak oleander olive orchid osier palm pansy papyrus peony pine plane poppy primrose privet
    quince reed rosemary rowan rush sage sedge sequoia sorrel spruce sundew sycamore tamarisk tansy teasel thistle
    thyme tulip verbena vetch viola walnut willow wisteria yarrow yew yucca
    """
)


def check_name(name: str) -> str:
    """The name without a leading slash. Raises WardianError(INVALID) in docker's words."""
    if not _NAME.fullmatch(name):
        raise WardianError(
            INVALID,
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            operation="create",
            subject=name,
        )
    return name.removeprefix("/")


def make_name(taken: "dict[str, str]") -> str:
    """A free adjective_noun; a number is added when chance brings up a used one."""
    name = f"{random.choice(_ADJECTIVES)}_{random.choice(_NOUNS)}"
    number = 2
    free = name
    while free in taken:
        free = f"{name}_{number}"
        number += 1
    return free
