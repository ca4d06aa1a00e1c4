"""Lays out and renders one graph with pygraphviz, in a process of its own: DOT on stdin, the picture on stdout.

Graphviz is C code that cannot be interrupted, prints to the terminal, and takes the whole process with it
when a graph is too much for it. Here it cannot harm the caller. Run by path, so that nothing of
minigraph is imported.
"""

import ctypes
import ctypes.util
import sys

NO_PYGRAPHVIZ = 3  # the exit status that says so
MISSING = "minigraph: no font has "  # what a line on stderr begins with that names characters


def main(program: str, form: str, *path: str) -> int:
    """Draw with the layout ``program`` in the format ``form``, pygraphviz on ``path``; returns the exit status."""
    sys.path += path  # after the standard library, whose modules a user's own may be named like
    try:
        import pygraphviz
    except ImportError as error:
        sys.stderr.write(str(error))
        return NO_PYGRAPHVIZ
    text = sys.stdin.buffer.read().decode()
    sys.stdout.buffer.write(pygraphviz.AGraph(string=text).draw(format=form, prog=program))
    if form in ("png", "pdf"):  # an SVG takes the fonts of who looks at it
        sys.stderr.buffer.write(f"\n{MISSING}{missing(text)}\n".encode())
    return 0


def missing(text: str) -> str:
    """The characters that no font of this machine has; none where fontconfig, which Graphviz uses, is not found."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            loaded = [line.split(maxsplit=5)[5].strip() for line in maps if "fontconfig" in line and ".so" in line]
    except OSError:
        loaded = []
    name = loaded[0] if loaded else ctypes.util.find_library("fontconfig")
    if not name:
        return ""
    library = ctypes.CDLL(name)
    for function in ("FcCharSetCreate", "FcPatternCreate", "FcObjectSetCreate", "FcFontList"):
        getattr(library, function).restype = ctypes.c_void_p

    def fonts(character: str) -> int:
        """How many fonts have it."""
        characters, pattern = (ctypes.c_void_p(make()) for make in (library.FcCharSetCreate, library.FcPatternCreate))
        library.FcCharSetAddChar(characters, ctypes.c_uint32(ord(character)))
        library.FcPatternAddCharSet(pattern, b"charset", characters)
        fontset = library.FcFontList(None, pattern, ctypes.c_void_p(library.FcObjectSetCreate()))
        return ctypes.c_int.from_address(fontset).value if fontset else 1  # an FcFontSet begins with their number

    if not fonts("a"):  # not even those of this package, so it is not the library that draws
        return ""
    return "".join(c for c in sorted(set(text)) if ord(c) > 127 and not c.isspace() and not fonts(c))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
