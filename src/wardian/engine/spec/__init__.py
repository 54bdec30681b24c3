"""What options write into a container's OCI runtime spec, a module for each of its parts.

Each writer is `write_x(spec, value, config)` and changes the spec for one option; `options.TABLE` says which writer
belongs to which option and the order they run in.
"""

from wardian.engine.spec.base import Spec, base_spec

__all__ = ["Spec", "base_spec"]
