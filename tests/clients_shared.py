"""What the client tests name in common: the image that the module's engine has."""

IMAGE = "busybox:test"
