"""minigraph: computational graphs whose every node has one local Jacobian that pushes, pulls and is a sparse matrix."""

import pathlib as _pathlib

__version__ = "0.1.0"

# A bare checkout keeps the ops beside this folder; an installed package has them inside it.
if not (_pathlib.Path(__file__).parent / "ops").is_dir():
    __path__.append(str(_pathlib.Path(__file__).parent.parent))
