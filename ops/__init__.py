"""The ops: every node type with its kernel and its rules; their functions are minigraph's own, ``mg.<name>``."""

if __name__ != "minigraph.ops":
    raise ImportError(f"got import of {__name__!r}; wanted minigraph.ops (import minigraph)")
