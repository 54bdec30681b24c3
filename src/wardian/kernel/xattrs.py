"""Extended attributes (xattr(7)) by descriptor, and the ones that overlayfs keeps for itself."""

import os

# overlayfs(rst), "whiteouts and opaque directories": a directory that hides what lower layers have at its path.
OVERLAY_OPAQUE = b"trusted.overlay.opaque"
OVERLAY_OPAQUE_VALUE = b"y"

# Attributes by which a layer could steer overlayfs itself (redirect, metacopy, opaque …): never taken from an archive.
_OVERLAY_PRIVATE = (b"trusted.overlay.", b"user.overlay.")


def is_overlay_private(name: bytes) -> bool:
    """Whether overlayfs would read this attribute as its own."""
    return name.startswith(_OVERLAY_PRIVATE)


def set_at(dir_fd: int, name: bytes, attribute: bytes, value: bytes) -> None:
    """lsetxattr(2) on one entry of a directory; a symbolic link or a device node itself, not what it leads to.

    `name` is a single component: /proc/self/fd/N/NAME then cannot leave the directory. There is no setxattrat(2)
    before Linux 6.13, and fsetxattr(2) takes no O_PATH descriptor.
    """
    assert b"/" not in name and name not in (b"", b".", b".."), name
    os.setxattr(b"/proc/self/fd/%d/%s" % (dir_fd, name), attribute, value, follow_symlinks=False)


def set_opaque(dir_fd: int) -> None:
    """Mark an open directory (not O_PATH) opaque: nothing of lower layers shows through it."""
    os.setxattr(dir_fd, OVERLAY_OPAQUE, OVERLAY_OPAQUE_VALUE)


def is_opaque(dir_fd: int) -> bool:
    """Whether an open directory of an upper hides what lower layers have at its path."""
    try:
        return os.getxattr(dir_fd, OVERLAY_OPAQUE) in (OVERLAY_OPAQUE_VALUE, b"x")
    except OSError:
        return False


def portable(fd: int) -> tuple[tuple[bytes, bytes], ...]:
    """What of an open file's attributes means the same elsewhere: file capabilities, and the user's own."""
    try:
        names = os.listxattr(fd)
    except OSError:  # ENOTSUP, or a file system that fails: attributes are no reason to refuse the file
        return ()
    found = []
    for text in names:
        name = os.fsencode(text)
        if name == b"security.capability" or (name.startswith(b"user.") and not is_overlay_private(name)):
            try:
                found.append((name, os.getxattr(fd, name)))
            except OSError:  # removed meanwhile
                continue
    return tuple(found)
