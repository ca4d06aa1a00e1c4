"""``mg.compile``: a function is recorded once, and replayed as a list of kernel calls, forward, back and update.

A replay makes no nodes, checks no shapes and drops each value after its last use. It calls the kernels that the recorded
nodes would call; only ReLU is computed in the pass of the normalisation or the bias before it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigraph.array import Array, plain
from minigraph.kernels import tasks
from minigraph.kernels.numpy.elementwise import where_positive
from minigraph.kernels.numpy.memory import in_memory
from minigraph.kernels.numpy.norm import Finish
from minigraph.mode import MODE, VARIABLES, Configuration, Effects, recording, refuse_replay
from minigraph.node import FLOATS, Node, Parameter, constant
from minigraph.ops.activation import relu
from minigraph.ops.conv import Conv
from minigraph.ops.elementwise import add
from minigraph.ops.normalization import BatchNorm
from minigraph.ownership import own
from minigraph.tape import Tape, accumulate
from minigraph.text import readable, table
from minigraph.transforms import Checkpoint

MOST_PLANS = 32  # of different shapes that are kept


def compile(function: Callable[..., Any], optimizer: Any = None) -> Step:
    """``function`` of arrays with a scalar Node as its value, and its gradients, as a step that replays.

    ``step(*arrays)`` gives the value as an array and adds the gradients to ``.grad`` of the parameters, as backward does;
    with an ``optimizer`` it takes a step of it instead. Within ``mg.no_grad`` it gives the value alone, of any shape. The
    function may return a tuple: its first entry is differentiated, the others are given back too.

    The function runs at the first call, and again for other shapes or dtypes, after an attribute of a module was changed,
    such as by train() or eval(), and if a parameter was frozen or converted. In between only its kernels run: masks of
    dropout are drawn anew and running statistics move, but no other Python code of it is run, and arrays that it reads from
    outside keep the values that they had when it was recorded.

    What cannot be replayed is recorded at each call: functions that read values of nodes, pull without a graph, compute
    within no_grad, draw random numbers by minigraph other than dropout's, ignore an argument, or use checkpoints or hooks;
    ``step.reason`` tells why. Numbers that the function draws from a generator of its own stay as they were recorded.
    Raises TypeError for a Node as an argument and for a function that gives no Node, GraphError for one that gives no
    scalar or reaches no parameter.
    """
    if not callable(function):
        raise TypeError(f"compile: got {type(function).__name__}; wanted a function")
    return Step(function, optimizer)


class Step:
    """A function with its gradients that is replayed; see ``compile``. Prints its last plan as a table."""

    def __init__(self, function: Callable[..., Any], optimizer: Any = None) -> None:
        self.function, self.optimizer = function, optimizer
        self.plan: Plan | str = "it was not called yet"  # of the last call, or why that was not replayed
        self._plans: dict[Any, tuple[int, Plan | str]] = {}
        self._lock = threading.RLock()  # masks and statistics belong to the plan, not to a call

    @property
    def reason(self) -> str:
        """Why the last call cannot be replayed; empty if it can."""
        return self.plan if isinstance(self.plan, str) else ""

    def __call__(self, *arguments: Any) -> Any:
        for i, x in enumerate(arguments):
            if isinstance(x, Node):
                raise TypeError(
                    f"compile: got a Node as argument {i}; wanted an array, since the function makes the nodes"
                )
        refuse_replay("it calls another compiled step")
        arguments = tuple(_dense(plain(x, "compile")) if isinstance(x, np.ndarray) else x for x in arguments)
        with self._lock:
            results = self._run(arguments)
            if self.optimizer is not None and MODE.get().grad:
                self.optimizer.step()
                self.optimizer.zero_grad()
        return results[0] if len(results) == 1 else results

    def _run(self, arguments: Sequence[Any]) -> tuple[Any, ...]:
        """The results, by a plan that fits, or recorded."""
        grad = MODE.get().grad
        if MODE.get().anomaly or VARIABLES:
            results, _ = self._record(arguments, grad)
            self.plan = "a mode or a transform watches each node"
            return results
        key, now = (grad, *map(_signature, arguments)), Configuration.version
        version, plan = self._plans.get(key, (-1, ""))
        if version == now and isinstance(plan, Plan) and plan.fits():
            self.plan, self._plans[key] = plan, self._plans.pop(key)  # the last one used is the last to go
            return plan.run(arguments)
        results, self.plan = self._record(arguments, grad)
        self._plans.pop(key, None)
        if len(self._plans) >= MOST_PLANS:
            del self._plans[next(iter(self._plans))]
        self._plans[key] = now, self.plan
        return results

    def _record(self, arguments: Sequence[Any], grad: bool) -> tuple[tuple[Any, ...], Plan | str]:
        """The results of the function called as it is, and the plan to replay it, or the reason why there is none."""
        nodes = [constant(x) if isinstance(x, np.ndarray) else x for x in arguments]
        effects = Effects()
        with recording(effects):
            given = self.function(*nodes)
        outputs = list(given) if isinstance(given, tuple) else [given]
        if not outputs or not all(isinstance(y, Node) for y in outputs):
            kinds = ", ".join(type(y).__name__ for y in outputs) or "nothing"
            raise TypeError(f"compile: got {kinds} from the function; wanted a Node, or a tuple of Nodes")
        tape = Tape.of(outputs[0])
        plan: Plan | str = _refusal(tape, outputs, nodes, effects)
        if not plan:
            plan = Plan(tape, outputs, nodes, effects, grad)
        results = tuple(np.array(y.value) for y in outputs)
        if grad:
            tape.backward()
        return results, plan

    def __str__(self) -> str:
        return f"not replayed: {self.plan}" if self.reason else str(self.plan)


def _dense(x: Array) -> Array:
    """x, or a copy in its order in memory where that has gaps: a recorded constant has none."""
    return x if x.transpose(in_memory(x)).flags.c_contiguous else np.array(x, order="K")


def _signature(x: Any) -> Any:
    """What a plan depends on of an argument."""
    if isinstance(x, np.ndarray):
        return x.shape, x.dtype
    try:
        hash(x)
    except TypeError:
        raise TypeError(
            f"compile: got an argument of type {type(x).__name__}; wanted an array or a hashable value"
        ) from None
    return type(x), x, repr(x)  # 0.0 == -0.0


def _refusal(tape: Tape, outputs: Sequence[Node], arguments: Sequence[Any], effects: Effects) -> str:
    """Why the function cannot be replayed, or nothing."""
    if effects.refused:
        return effects.refused[0]
    ops = {node.op for node in tape.nodes}
    for op in (*effects.before, *effects.after):
        if op not in ops:
            return f"its value does not depend on what {op} gives"
    on_tape = set(tape.nodes)
    for i, x in enumerate(arguments):
        if isinstance(x, Node) and x not in on_tape:
            return f"its value does not depend on argument {i}"
    if not on_tape.issuperset(outputs):
        return "it gives values that the first does not depend on"
    for node in tape.nodes:
        if isinstance(node.op, Checkpoint):
            return "it uses a checkpoint"
    return ""


class Plan:
    """The kernel calls of a recorded function, forward and back, and when each value is no longer needed."""

    def __init__(
        self, tape: Tape, outputs: Sequence[Node], arguments: Sequence[Any], effects: Effects, grad: bool
    ) -> None:
        index = {node: i for i, node in enumerate(tape.nodes)}
        self.size, self.y = len(index), index[tape.y]
        self.outputs = [index[y] for y in outputs]
        self.arguments = [(i, index[x]) for i, x in enumerate(arguments) if isinstance(x, Node)]
        given = {i for _, i in self.arguments}
        self.parameters = [(p, index[p]) for p in tape.parameters]
        self.recorded = self._parameters()
        self.constants = [
            (i, node._value) for node, i in index.items()
            if not node.op and not isinstance(node, Parameter) and i not in given
        ]  # fmt: skip
        self.seed = np.ones(tape.y.shape, tape.y.dtype)[()]
        wanted = [p for p, _ in self.parameters if p.requires_grad and grad]
        self.active = active = {index[node] for node in tape.depending_on(wanted)} if wanted else set()
        self.wanted = [(p, index[p]) for p in wanted if index[p] in active]
        readers = Counter(index[x] for node in tape.nodes for x in node.inputs)
        self.steps: list[Call] = []
        for node in tape.nodes:
            if node.op:
                self.steps.append(Call(node, index, active, effects))
        self._fuse(tape, readers)
        self._plan_memory()

    def _fuse(self, tape: Tape, readers: Counter[int]) -> None:
        """Pull ReLU by its output, and compute it in the pass of the call before it where nothing else reads that."""
        calls, nodes = {call.out: call for call in self.steps}, tape.nodes

        def single(i: int) -> Call | None:
            """The call that gives value i, if one other call alone reads it."""
            return calls.get(i) if readers[i] == 1 and i not in self.outputs else None

        for i, node in enumerate(nodes):
            if node.op is not relu or node.dtype not in FLOATS or not node.shape:
                continue
            call = calls[i]
            call.rectifies = True
            before = single(call.inputs[0])
            replaced, made = ([], call) if before is None else self._fused(before, call, nodes, single)
            calls[i] = made
            self.steps = [made if step is call else step for step in self.steps if step not in replaced]
        self.pulls = [call for call in reversed(self.steps) if call.out in self.active]

    def _fused(
        self, before: Call, call: Call, nodes: Sequence[Node], single: Callable[[int], Call | None]
    ) -> tuple[list[Call], Call]:
        """The calls that one call replaces, and that call; ReLU's own where there is no such kernel."""
        if isinstance(before.op, Conv) and len(before.inputs) == 3:
            return [before], RectifiedConv(before, call)
        if isinstance(before.op, BatchNorm):
            return [before], RectifiedNorm(before, call)
        kinds = {(nodes[i].shape, nodes[i].dtype) for i in (*before.inputs, before.out)}
        if before.op is add and len(kinds) == 1:
            for k in (1, 0):
                norm = single(before.inputs[k])
                if norm is not None and isinstance(norm.op, BatchNorm) and not self._effects_between(norm, call):
                    return [norm, before], RectifiedNorm(norm, call, before.inputs[1 - k], before.targets[1 - k])
        return [], call

    def _effects_between(self, one: Call, other: Call) -> bool:
        """Whether a call between the two has effects, whose order must stay."""
        between = self.steps[self.steps.index(one) + 1 : self.steps.index(other)]
        return bool(one.after) and any(call.before or call.after for call in between)

    def _plan_memory(self) -> None:
        """After each call, the values that nobody will read again."""
        last: dict[int, tuple[str, Call]] = {}
        for call in self.steps:
            for i in (*call.inputs, call.out):
                last[i] = "forward", call
        for call in self.pulls:
            for i in call.reads:
                last[i] = "back", call
        for i, (way, call) in last.items():
            if i not in self.outputs:
                (call.drops if way == "forward" else call.drops_back).append(i)

    def fits(self) -> bool:
        """Whether the parameters are as they were when it was recorded."""
        return self._parameters() == self.recorded

    def _parameters(self) -> list[tuple[bool, Any]]:
        return [(p.requires_grad, p.dtype) for p, _ in self.parameters]

    def run(self, arguments: Sequence[Any]) -> tuple[Any, ...]:
        """The results for other arrays of the same shapes; the gradients are added to the parameters'."""
        values: list[Any] = [None] * self.size
        saved: list[Any] = [None] * self.size
        for i, at in self.arguments:
            values[at] = arguments[i]
        for p, at in self.parameters:
            values[at] = p._value
        for at, value in self.constants:
            values[at] = value
        for call in self.steps:
            call.forward(values, saved)
        results = tuple(np.array(values[i]) for i in self.outputs)
        cotangents: list[Any] = [None] * self.size
        cotangents[self.y] = self.seed
        for call in self.pulls:
            call.back(values, saved, cotangents)
        del values, saved
        for p, at in self.wanted:
            g, cotangents[at] = cotangents[at], None
            if g is not None:
                g = own(g)
                accumulate(p, g)
        return results

    def __str__(self) -> str:
        """A row for each call."""
        rows = []
        for way, calls in (("forward", self.steps), ("back", self.pulls)):
            for call in calls:
                dropped = call.drops if way == "forward" else call.drops_back
                rows.append((way, call.label, str(call.shape), ", ".join(f"v{i}" for i in sorted(dropped))))
        return readable(table(("", "call", "shape", "drops"), rows))


class Call:
    """An op of the plan: what it reads and writes, forward and back."""

    def __init__(self, node: Node, index: dict[Node, int], active: set[int], effects: Effects) -> None:
        self.op: Any = node.op
        self.label, self.shape = "/".join(filter(None, (node.scope, node.name or node.kind))), node.shape
        self.inputs, self.out = tuple(index[x] for x in node.inputs), index[node]
        self.targets = [i if i in active else None for i in self.inputs]
        self.wanted = tuple(i is not None for i in self.targets)
        self.before, self.after = effects.before.get(node.op), effects.after.get(node.op, ())
        self.rectifies = False
        self.drops: list[int] = []
        self.drops_back: list[int] = []

    @property
    def reads(self) -> tuple[int, ...]:
        """The values that its pull may read."""
        return (self.out,) if self.rectifies else (*self.inputs, self.out)

    def forward(self, values: list[Any], saved: list[Any]) -> None:
        """Compute the value."""
        if self.before is not None:
            self.before()
        value = self.value([values[i] for i in self.inputs])
        if isinstance(value, tuple):
            value, saved[self.out] = value
        values[self.out] = value
        for effect in self.after:
            effect(saved[self.out])
        for i in self.drops:
            values[i] = None

    def value(self, xs: list[Any]) -> Any:
        """The value, or (value, saved)."""
        return self.op.forward(*xs)

    def back(self, values: list[Any], saved: list[Any], cotangents: list[Any]) -> None:
        """Pull the cotangent of the value to the inputs."""
        g, cotangents[self.out] = cotangents[self.out], None
        if g is not None:
            pulled = self.pulled(g, values, saved)
            for i, c in zip(self.targets, pulled, strict=True):
                if i is not None and c is not None:
                    old = cotangents[i]
                    cotangents[i] = (
                        c if old is None else tasks.map_entries(np.add, old, c) if type(c) is np.ndarray else old + c
                    )
        saved[self.out] = None
        for i in self.drops_back:
            values[i] = None

    def pulled(self, g: Any, values: list[Any], saved: list[Any]) -> Any:
        """The cotangents of the inputs."""
        if self.rectifies:
            return [where_positive(values[self.out], g)]
        return self.pull_op(g, values[self.out], [values[i] for i in self.inputs], saved[self.out])

    def pull_op(self, g: Any, y: Any, xs: list[Any], kept: Any) -> Any:
        """The cotangents of the op's inputs."""
        op = self.op
        if op.pull is not None:
            together = op.pull(g, self.wanted, y, *xs, saved=kept)
            if together is not NotImplemented:
                return together
        maps = op.jacobians(y, *xs) if kept is None else op.jacobians(y, *xs, saved=kept)
        return [J._pull(g) if want and J is not None else None for J, want in zip(maps, self.wanted, strict=True)]


class RectifiedConv(Call):
    """max(convolution + bias, 0): the bias and ReLU in one pass."""

    def __init__(self, conv: Call, call: Call) -> None:
        vars(self).update(vars(conv))
        self.out, self.label, self.drops, self.drops_back = call.out, f"{conv.label} + relu", [], []

    def value(self, xs: list[Any]) -> Any:
        x, w, b = xs
        return tasks.add_to_channels(self.op.forward(x, w), b, True)

    def pulled(self, g: Any, values: list[Any], saved: list[Any]) -> Any:
        return super().pulled(where_positive(values[self.out], g), values, saved)


class RectifiedNorm(Call):
    """max(batch normalisation [+ other], 0) in one pass."""

    def __init__(self, norm: Call, call: Call, other: int | None = None, target: int | None = None) -> None:
        vars(self).update(vars(norm))
        self.other, self.out, self.drops, self.drops_back = other, call.out, [], []
        self.label = f"{norm.label} + relu" if other is None else f"{norm.label} + v{other} + relu"
        if other is not None:
            self.inputs, self.targets = (*norm.inputs, other), [*norm.targets, target]

    def value(self, xs: list[Any]) -> Any:
        other = xs.pop() if self.other is not None else None
        x, w, b = [*xs, None, None][:3]
        op = self.op
        return tasks.normalize(x, w, b, op.groups(x), op.eps, op.statistics, Finish(other, True))

    def pulled(self, g: Any, values: list[Any], saved: list[Any]) -> Any:
        g = where_positive(values[self.out], g)
        if self.other is None:
            return super().pulled(g, values, saved)
        of_norm = self.pull_op(g, values[self.out], [values[i] for i in self.inputs[:-1]], saved[self.out])
        return [*of_norm, g]
