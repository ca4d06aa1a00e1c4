"""Lays out and renders one graph with pygraphviz, in a process of its own: DOT on stdin, the picture on stdout.

Graphviz is C code that cannot be interrupted, prints to the terminal, and takes the whole process with it
when a graph is too much for it. Here it cannot harm the caller. Run by path, so that nothing of
minigraph is imported.
"""

import sys

NO_PYGRAPHVIZ = 3  # the exit status that says so


def main(program: str, form: str) -> int:
    """Draw with the layout ``program`` in the format ``form``; returns the exit status."""
    try:
        import pygraphviz
    except ImportError as error:
        sys.stderr.write(str(error))
        return NO_PYGRAPHVIZ
    graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
    sys.stdout.buffer.write(graph.draw(format=form, prog=program))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
