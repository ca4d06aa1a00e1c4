"""Checkpoints: all that training goes on from, in one .safetensors file that is replaced atomically.

Arrays are tensors named ``model.…``, ``optimizer.<parameter>.…`` and ``average.<parameter>``; everything else is JSON in
the file's metadata. Nothing in a checkpoint is executed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minigraph.array import Array
from minigraph.files import checked_path, write
from minigraph.nn import Module
from minigraph.nn.state import read, read_metadata

if TYPE_CHECKING:
    from minigraph.train.trainer import Trainer

FORMAT, VERSION = "minigraph.checkpoint", 1


def save(path: Any, trainer: Trainer) -> None:
    """Write a checkpoint. Raises FloatingPointError if a weight is not finite, OSError if the file cannot be written.

    In both cases the file is unchanged.
    """
    from safetensors.numpy import save as serialized

    path, model, optimizer = checked_path("save", path), trainer.model, trainer.optimizer
    expect_finite(trainer)
    weights = model.state_dict()
    state = optimizer.state_dict()
    tensors = {f"model.{name}": value for name, value in weights.items()}
    slots: dict[str, dict[str, Any]] = {}
    for i, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, np.ndarray):
                tensors[f"optimizer.{i}.{key}"] = value
            else:
                slots.setdefault(str(i), {})[key] = value
    if trainer.average:
        tensors |= {f"average.{i}": a for i, a in enumerate(trainer.average.state_dict()["averages"])}
    content = {
        "format": FORMAT,
        "version": VERSION,
        "model": type(model).__name__,
        "optimizer": {"type": type(optimizer).__name__, "param_groups": state["param_groups"], "state": slots},
        "scheduler": trainer.scheduler
        and {"type": type(trainer.scheduler).__name__, "state": trainer.scheduler.state_dict()},
        "average": trainer.average.decay if trainer.average else None,
        "generators": {name: rng.bit_generator.state for name, rng in generators(model).items()},
        "callbacks": [{"type": type(c).__name__, "state": c.state_dict()} for c in trainer.callbacks],
        "settings": trainer.settings,
        "progress": trainer.progress(),
    }
    arrays = {name: np.ascontiguousarray(value) if value.ndim else value for name, value in tensors.items()}
    write(path, serialized(arrays, {"minigraph": json.dumps(content, default=_plain)}))


def expect_finite(trainer: Trainer) -> None:
    """Raise FloatingPointError, naming the first of the weights that is not finite."""
    for name, value in trainer.model.state_dict().items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise FloatingPointError(
                f"not saved: {name} has a NaN or an infinity after step {trainer.step}; wanted a smaller lr, or clip_norm"
            )


def load(path: Any, trainer: Trainer) -> None:
    """Put a trainer in the state that a checkpoint holds; if something does not fit, nothing is changed.

    Raises ValueError for a file that is damaged, no checkpoint, of a newer version, or of another model, optimizer or
    schedule; OSError if it cannot be read.
    """
    path = checked_path("load", path)
    content, tensors = contents(path), read(path)
    model, optimizer = trainer.model, trainer.optimizer
    parts = [part for part in (optimizer, trainer.scheduler, trainer.average, *trainer.callbacks) if part]
    before = [part.state_dict() for part in parts]
    random = {name: rng.bit_generator.state for name, rng in generators(model).items()}
    try:
        _expect_same(content, trainer)
        _expect_model(model, _part("model.", tensors))
        progress = expect_progress(content["progress"])
        optimizer.load_state_dict(
            {"state": _slots(content["optimizer"], tensors), "param_groups": content["optimizer"]["param_groups"]}
        )
        if trainer.scheduler:
            trainer.scheduler.load_state_dict(content["scheduler"]["state"])
        if trainer.average:
            averages = _part("average.", tensors)
            trainer.average.load_state_dict(
                {"decay": content["average"], "averages": [averages[str(i)] for i in range(len(averages))]}
            )
        left = list(content["callbacks"])
        for callback in trainer.callbacks:  # each takes the first state of its class that is left
            entry = next((entry for entry in left if entry["type"] == type(callback).__name__), None)
            if entry:
                left.remove(entry)
                callback.load_state_dict(entry["state"])
        for name, rng in generators(model).items():
            if name in content["generators"]:
                rng.bit_generator.state = _like(rng.bit_generator.state, content["generators"][name])
        model.load_state_dict(_part("model.", tensors))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        for part, state in zip(parts, before, strict=True):
            part.load_state_dict(state)
        for name, rng in generators(model).items():
            rng.bit_generator.state = random[name]
        what = str(error) if isinstance(error, ValueError) else f"damaged: {type(error).__name__}: {error}"
        raise ValueError(f"{path}: {what}") from None
    trainer.set_progress(progress)


def _expect_same(content: Mapping[str, Any], trainer: Trainer) -> None:
    """Raise ValueError unless the checkpoint is of such an optimizer, schedule and averages, with the same settings."""
    settings = content.get("settings", {})
    for name, value in trainer.settings.items():
        if name in settings and settings[name] != value:
            raise ValueError(f"training began with {name} {settings[name]}; got {value}, wanted the same")
    for what, own in (("optimizer", trainer.optimizer), ("scheduler", trainer.scheduler)):
        got, wanted = (content[what] or {}).get("type"), type(own).__name__ if own else None
        if got != wanted:
            raise ValueError(f"a checkpoint with {got or 'no'} {what}; wanted {wanted or 'none'}")
    if bool(trainer.average) != (content["average"] is not None):
        got, wanted = ("averages", "none") if trainer.average is None else ("no averages", "some")
        raise ValueError(f"a checkpoint with {got} of weights; wanted {wanted}")


def expect_progress(progress: Any) -> dict[str, Any]:
    """``progress``, the place in training that is stored in a checkpoint. Raises ValueError if it is malformed."""
    counts = [progress[name] for name in ("epoch", "batch", "step")]
    for name in ("seed", "batches"):
        if not isinstance(progress[name], (int, type(None))):
            raise ValueError(f"damaged: got {name} {progress[name]!r}")
    whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in counts)
    rows, sums = progress["history"], progress["sums"]
    if not whole or not isinstance(rows, list) or len(rows) != progress["epoch"] or len(sums) != 3:
        raise ValueError(f"damaged: got epoch, batch and step {counts} and a history of {len(rows)} epochs")
    figures = [
        progress["seconds"],
        *sums,
        *(row[name] for row in rows for name in ("epoch", "step", "lr", "train_loss")),
    ]
    if not all(isinstance(n, (int, float)) for n in figures) or not 0 <= progress["seconds"] < math.inf:
        raise ValueError("damaged: its history or its sums are no numbers")
    if progress["batch"] > (progress["batches"] or math.inf):
        raise ValueError(f"damaged: got batch {progress['batch']} of {progress['batches']}")
    return progress  # type: ignore[no-any-return]


def _slots(optimizer: Mapping[str, Any], tensors: Mapping[str, Array]) -> dict[int, dict[str, Any]]:
    """The optimizer's state by the numbers of the parameters: numbers from JSON, arrays from tensors."""
    state: dict[int, dict[str, Any]] = {int(i): dict(entries) for i, entries in optimizer["state"].items()}
    for name, value in _part("optimizer.", tensors).items():
        i, _, key = name.partition(".")
        state.setdefault(int(i), {})[key] = value
    return state


def contents(path: Any) -> dict[str, Any]:
    """The JSON of a checkpoint. Raises ValueError for another file."""
    text = read_metadata(path).get("minigraph")
    try:
        content = json.loads(text) if text else None
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            f"{path}: a .safetensors file, but no checkpoint of minigraph; load weights with model.load(path)"
        )
    if content.get("version") != VERSION:
        raise ValueError(
            f"{path}: a checkpoint of version {content.get('version')}; this minigraph reads version {VERSION}: install a newer one"
        )
    missing = {"optimizer", "scheduler", "average", "generators", "callbacks", "progress"} - content.keys()
    if missing:
        raise ValueError(f"{path}: a checkpoint that is damaged: got no {', '.join(sorted(missing))}")
    return content


def generators(model: Module) -> dict[str, np.random.Generator]:
    """The random generators of all modules by path, each once."""
    found: dict[int, tuple[str, np.random.Generator]] = {}

    def gather(path: str, value: Any) -> None:
        if isinstance(value, np.random.Generator):
            found.setdefault(id(value), (path, value))
        elif isinstance(value, (list, tuple)):
            for i, entry in enumerate(value):
                gather(f"{path}.{i}", entry)
        elif isinstance(value, dict):
            for key, entry in value.items():
                gather(f"{path}.{key}", entry)

    for path, module in model.named_modules():
        for name, value in vars(module).items():
            gather(f"{path}.{name}" if path else name, value)
    return dict(found.values())


def latest(folder: Any) -> Path | None:
    """The last checkpoint of a run's folder, None where there is none."""
    path = Path(folder) / "last.safetensors"
    return path if path.exists() else None


def _part(prefix: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _expect_model(model: Module, weights: Mapping[str, Array]) -> None:
    own = model.state_dict()
    missing, unknown = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    shapes = [
        f"{n} {weights[n].shape} for {own[n].shape}" for n in own if n in weights and weights[n].shape != own[n].shape
    ]
    for what, names in (("lacks", missing), ("also has", unknown), ("has", shapes)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ValueError(f"a checkpoint of another model than {type(model).__name__}: it {what} {names[0]}{more}")


def _plain(x: Any) -> Any:
    """NumPy's numbers and arrays, for JSON."""
    if isinstance(x, (np.generic, np.ndarray)):
        return x.tolist()
    raise TypeError(f"a state with {type(x).__name__}; wanted numbers, texts and lists")


def _like(state: Any, value: Any) -> Any:
    """A generator's state read from JSON, with arrays where the generator's own state has them."""
    if isinstance(state, dict):
        return {key: _like(state[key], value[key]) for key in state}
    return np.asarray(value, state.dtype) if isinstance(state, np.ndarray) else value
