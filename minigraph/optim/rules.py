"""The optimizers. A rule is the formula of one step for one parameter p with gradient g, entry by entry."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigraph.array import Array
from minigraph.node import Parameter
from minigraph.optim.optimizer import Optimizer, flag, number, slot, two_decays

Step = tuple[Any, list[Array], tuple[Any, ...]]


def gradient(p: Array, g: Array, weight_decay: float, maximize: bool) -> Array:
    """g + λ p, for a maximum −g + λ p."""
    if maximize:
        g = -g
    return g + weight_decay * p if weight_decay else g


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Polyak 1964, Nesterov 1983).

    For each parameter p with gradient g and velocity v, which is d in the first step:

        d = g + weight_decay · p
        v = momentum · v + (1 − dampening) · d
        p = p − lr · v,   with ``nesterov``  p − lr · (d + momentum · v)

    Without momentum, p = p − lr · d. ``weight_decay`` λ adds the gradient of ½ λ ‖p‖². With ``maximize``, −g in place of
    g. ``lr`` may be assigned between steps. Raises ValueError for ``nesterov`` without momentum or with dampening; see
    Optimizer for the other errors.
    """

    OPTIONS = {
        "lr": number(), "momentum": number(), "dampening": number(-math.inf), "weight_decay": number(),
        "nesterov": flag, "maximize": flag,
    }  # fmt: skip

    def __init__(
        self, params: Any, lr: float = 1e-3, momentum: float = 0, dampening: float = 0, weight_decay: float = 0,
        nesterov: bool = False, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay,
                         nesterov=nesterov, maximize=maximize)  # fmt: skip

    def _checked(self, options: Any) -> dict[str, Any]:
        checked = super()._checked(options)
        get = {**getattr(self, "defaults", {}), **checked}.get
        if get("nesterov") and (not get("momentum") or get("dampening")):
            raise ValueError(
                f"SGD: got nesterov with momentum {get('momentum')} and dampening {get('dampening')}; "
                "wanted momentum above 0 and no dampening"
            )
        return checked

    def rule(self, p: Parameter, state: dict[str, Any], options: dict[str, Any]) -> Step:
        o = options
        first = "momentum_buffer" not in state
        arrays = [slot(state, "momentum_buffer", p)] if o["momentum"] else []
        settings = (
            o["lr"],
            o["momentum"],
            0.0 if first else o["dampening"],
            o["weight_decay"],
            o["nesterov"],
            o["maximize"],
        )
        return (_momentum if arrays else _descent), arrays, settings


def _descent(p: Array, g: Array, lr: float, _m: float, _d: float, decay: float, _n: bool, maximize: bool) -> Array:
    return p - lr * gradient(p, g, decay, maximize)


def _momentum(
    p: Array,
    g: Array,
    v: Array,
    lr: float,
    momentum: float,
    dampening: float,
    decay: float,
    nesterov: bool,
    maximize: bool,
) -> Array:
    d = gradient(p, g, decay, maximize)
    v *= momentum
    v += (1 - dampening) * d if dampening else d
    return p - lr * (d + momentum * v if nesterov else v)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015): moments m and v of the gradient, β₁ and β₂ from ``betas``, t the number of the step.

        d = g + weight_decay · p
        m = β₁ m + (1 − β₁) d,   v = β₂ v + (1 − β₂) d²
        p = p − lr · m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + eps)

    With ``amsgrad`` (Reddi et al. 2018), the largest v so far in place of v. For the errors see Optimizer.
    """

    OPTIONS = {
        "lr": number(), "betas": two_decays, "eps": number(), "weight_decay": number(), "amsgrad": flag, "maximize": flag,
    }  # fmt: skip
    decoupled = False

    def __init__(
        self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, amsgrad: bool = False, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad,
                         maximize=maximize)  # fmt: skip

    def rule(self, p: Parameter, state: dict[str, Any], options: dict[str, Any]) -> Step:
        o = options
        t = state["step"] = int(state.get("step", 0)) + 1
        arrays = [slot(state, "exp_avg", p), slot(state, "exp_avg_sq", p)]
        if o["amsgrad"]:
            arrays.append(slot(state, "max_exp_avg_sq", p))
        b1, b2 = o["betas"]
        moments = o["lr"] / (1 - b1**t), math.sqrt(1 - b2**t), b1, b2, o["eps"]
        shrink = 1 - o["lr"] * o["weight_decay"] if self.decoupled else 1.0
        decay = 0.0 if self.decoupled else o["weight_decay"]
        return (_amsgrad if o["amsgrad"] else _adam), arrays, (*moments, shrink, decay, o["maximize"])


def _adam(p: Array, g: Array, m: Array, v: Array, *settings: Any) -> Array:
    return _amsgrad(p, g, m, v, None, *settings)


def _amsgrad(
    p: Array, g: Array, m: Array, v: Array, largest: Array | None,
    rate: float, root: float, b1: float, b2: float, eps: float, shrink: float, decay: float, maximize: bool,
) -> Array:  # fmt: skip
    d = gradient(p, g, decay, maximize)
    m += (1 - b1) * (d - m)
    v *= b2
    v += (1 - b2) * d * d
    if largest is not None:
        v = np.maximum(largest, v, out=largest)
    return (p * shrink if shrink != 1 else p) - rate * m / (np.sqrt(v) / root + eps)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): p = (1 − lr · weight_decay) p, then Adam's step."""

    decoupled = True

    def __init__(
        self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)


class RMSprop(Optimizer):
    """RMSprop (Hinton 2012, lecture 6): v = α v + (1 − α) d², p = p − lr · d / (√v + eps), d = g + weight_decay · p.

    ``centered`` (Graves 2013) takes the variance v − a² in place of v, a the mean of d as v is of d². With ``momentum``,
    b = momentum · b + d / (√v + eps), p = p − lr · b. For the errors see Optimizer.
    """

    OPTIONS = {
        "lr": number(), "alpha": number(), "eps": number(), "weight_decay": number(), "momentum": number(),
        "centered": flag, "maximize": flag,
    }  # fmt: skip

    def __init__(
        self, params: Any, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0,
        momentum: float = 0, centered: bool = False, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum,
                         centered=centered, maximize=maximize)  # fmt: skip

    def rule(self, p: Parameter, state: dict[str, Any], options: dict[str, Any]) -> Step:
        o = options
        names = ["square_avg", *["grad_avg"] * o["centered"], *["momentum_buffer"] * bool(o["momentum"])]
        settings = o["lr"], o["alpha"], o["eps"], o["weight_decay"], o["momentum"], o["centered"], o["maximize"]
        return _rmsprop, [slot(state, name, p) for name in names], settings


def _rmsprop(p: Array, g: Array, v: Array, *rest: Any) -> Array:
    *arrays, lr, alpha, eps, decay, momentum, centered, maximize = rest
    d = gradient(p, g, decay, maximize)
    v *= alpha
    v += (1 - alpha) * d * d
    variance = v
    if centered:
        a = arrays[0]
        a += (1 - alpha) * (d - a)
        variance = v - a * a
    d = d / (np.sqrt(variance) + eps)
    if momentum:
        b = arrays[-1]
        b *= momentum
        d = np.add(b, d, out=b)
    moved: Array = p - lr * d
    return moved


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan and Singer 2011): s = s + d², p = p − lr / (1 + (t − 1) lr_decay) · d / (√s + eps).

    d = g + weight_decay · p, t the number of the step; s begins at ``initial_accumulator_value``. For the errors see
    Optimizer.
    """

    OPTIONS = {
        "lr": number(), "lr_decay": number(), "weight_decay": number(), "initial_accumulator_value": number(),
        "eps": number(), "maximize": flag,
    }  # fmt: skip

    def __init__(
        self, params: Any, lr: float = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
        initial_accumulator_value: float = 0, eps: float = 1e-10, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, lr=lr, lr_decay=lr_decay, weight_decay=weight_decay,
                         initial_accumulator_value=initial_accumulator_value, eps=eps, maximize=maximize)  # fmt: skip

    def rule(self, p: Parameter, state: dict[str, Any], options: dict[str, Any]) -> Step:
        o = options
        t = state["step"] = int(state.get("step", 0)) + 1
        squares = slot(state, "sum", p, o["initial_accumulator_value"])
        rate = o["lr"] / (1 + (t - 1) * o["lr_decay"])
        return _adagrad, [squares], (rate, o["eps"], o["weight_decay"], o["maximize"])


def _adagrad(p: Array, g: Array, s: Array, rate: float, eps: float, decay: float, maximize: bool) -> Array:
    d = gradient(p, g, decay, maximize)
    s += d * d
    return p - rate * d / (np.sqrt(s) + eps)
