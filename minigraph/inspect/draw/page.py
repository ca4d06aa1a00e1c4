"""A layout cut into columns, so that the drawing of a long chain has the proportions of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log

Point = tuple[float, float]
GAP = 30.0  # points between columns, in which edges lead from the foot of one to the head of the next
LANE = 14.0  # points between the last box of a column and the edge that leads on
ARROW = 6.0  # length of an arrowhead in points
LETTER = 4.6  # width of a character of a label in points, about
MAX_COLUMNS = 12


@dataclass(frozen=True)
class Place:
    """The centre and the size of a box, in points; y points up."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Line:
    """An edge: the control points of its cubic Bézier curves, and the centre and the width of its label."""

    tail: str
    head: str
    points: tuple[Point, ...]
    label: Point | None = None
    label_width: float = 0.0

    def extent(self) -> list[float]:
        """Where the label begins and ends, if there is one."""
        half = self.label_width / 2
        return [self.label[0] - half, self.label[0] + half] if self.label else []


@dataclass(frozen=True)
class Layout:
    """Boxes by name, and edges, in points."""

    places: dict[str, Place]
    lines: tuple[Line, ...]

    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top of the boxes and edges."""
        xs = [x for p in self.places.values() for x in (p.x - p.width / 2, p.x + p.width / 2)]
        ys = [y for p in self.places.values() for y in (p.y - p.height / 2, p.y + p.height / 2)]
        points = [point for line in self.lines for point in line.points]
        xs += [x for line in self.lines for x in line.extent()]
        xs, ys = [*xs, *(x for x, _ in points)], [*ys, *(y for _, y in points)]
        return min(xs), min(ys), max(xs), max(ys)

    def ratio(self) -> float:
        """Width over height."""
        left, bottom, right, top = self.bounds()
        return (right - left) / max(top - bottom, 1.0)


def parsed(plain: str) -> Layout:
    """The layout in Graphviz's format "plain", whose unit is the inch."""
    places, lines = {}, []
    for row in plain.splitlines():
        kind, *fields = row.split(" ")
        if kind == "node":
            places[fields[0]] = Place(*(72 * float(field) for field in fields[1:5]))
        elif kind == "edge":
            n = int(fields[2])
            numbers = [72 * float(field) for field in fields[3 : 3 + 2 * n]]
            after = fields[3 + 2 * n :]
            label = (72 * float(after[-4]), 72 * float(after[-3])) if len(after) > 2 else None
            columns = LETTER * len(" ".join(after[:-4])) if label else 0.0
            points = tuple(zip(numbers[::2], numbers[1::2], strict=True))
            lines.append(Line(fields[0], fields[1], points, label, columns))
    return Layout(places, tuple(lines))


def fitted(layout: Layout, ratio: float | None) -> Layout:
    """The layout in as many columns as bring it closest to ``ratio``, width over height; None for at most 2:1 either way."""
    if ratio is None and 0.5 <= layout.ratio() <= 2 or not layout.lines:
        return layout
    wanted = 1.0 if ratio is None else ratio
    tries = [layout, *(in_columns(layout, n) for n in range(2, MAX_COLUMNS + 1))]
    return min(tries, key=lambda tried: abs(log(tried.ratio() / wanted)))


def in_columns(layout: Layout, n: int) -> Layout:
    """The layout cut at n − 1 heights, where few edges cross, into columns side by side."""
    cuts = _cuts(layout, n)
    _, bottom, _, top = layout.bounds()
    column = {name: column_of(p.y, cuts) for name, p in layout.places.items()}
    pieces = [_pieces(_reaching(line, layout.places[line.head], cuts), cuts) for line in layout.lines]
    tops, shifts, starts, x = [top, *cuts], [], [], 0.0
    for i in range(len(tops)):
        boxes = [p for name, p in layout.places.items() if column[name] == i]
        sides = [px for parts in pieces for k, part in parts if k == i for px, _ in part]
        sides += [
            px for line in layout.lines if line.label and column_of(line.label[1], cuts) == i for px in line.extent()
        ]
        left = min([*(p.x - p.width / 2 for p in boxes), *sides])
        right = max([*(p.x + p.width / 2 for p in boxes), *sides])
        shifts.append((x - left, -tops[i]))
        starts.append(x)
        x += right - left + GAP
    feet = [below - above for above, below in zip(tops, [*cuts, bottom], strict=True)]

    def moved(point: Point, i: int) -> Point:
        return point[0] + shifts[i][0], point[1] + shifts[i][1]

    places = {}
    for name, p in layout.places.items():
        px, py = moved((p.x, p.y), column[name])
        places[name] = replace(p, x=px, y=py)
    lines, lanes = [], [0] * len(tops)
    for line, parts in zip(layout.lines, pieces, strict=True):
        points: list[Point] = []
        for i, part in parts:
            here = [moved(point, i) for point in part]
            if points:
                lane = 4.0 * (lanes[i] % 4)
                lanes[i] += 1
                foot, channel, head = feet[i - 1] - LANE - lane, starts[i] - GAP / 2 - lane / 2, LANE + lane
                last, first = points[-1], here[0]
                points += rounded([last, (last[0], foot), (channel, foot), (channel, head), (first[0], head), first])[
                    1:
                ]
                points += here[1:]
            else:
                points = here
        label = line.label and moved(line.label, column_of(line.label[1], cuts))
        lines.append(replace(line, points=tuple(points), label=label))
    return Layout(places, tuple(lines))


def _reaching(line: Line, head: Place, cuts: Sequence[float]) -> tuple[Point, ...]:
    """The points of an edge, which goes on into the column of its head if it ends at an arrowhead above the cut."""
    (x, y), top = line.points[-1], head.y + head.height / 2
    between = [cut for cut in cuts if y >= cut > top]
    if not between:
        return line.points
    return (*line.points, *_straight((x, y), (x, min(top + ARROW, between[-1] - 1))))


def column_of(y: float, cuts: Sequence[float]) -> int:
    """The number of the column of a height."""
    return sum(y < cut for cut in cuts)


def _cuts(layout: Layout, n: int) -> list[float]:
    """At most n − 1 heights between boxes, from the top down, near equal distances and crossed by few edges."""
    spans = sorted(((p.y - p.height / 2, p.y + p.height / 2) for p in layout.places.values()), reverse=True)
    gaps, low = [], spans[0][0]
    for bottom, top in spans[1:]:
        if top < low:
            gaps.append((top + low) / 2)
        low = min(low, bottom)
    _, bottom, _, top = layout.bounds()
    crossings = {
        gap: sum(line.points[0][1] > gap > line.points[-1][1] for line in layout.lines) for gap in gaps
    }  # fmt: skip
    cuts: list[float] = []
    for i in range(1, n):
        target = top - i * (top - bottom) / n
        free = [gap for gap in gaps if not cuts or gap < cuts[-1]]
        if free:
            cuts.append(min(free, key=lambda gap: abs(gap - target) / (top - bottom) + 0.06 * crossings[gap]))
    return cuts


def _pieces(points: Sequence[Point], cuts: Sequence[float]) -> list[tuple[int, list[Point]]]:
    """The curves of an edge that leads down, split at the cuts: (column, control points)."""
    k = column_of(points[0][1], cuts)
    pieces = [(k, [points[0]])]
    for i in range(0, len(points) - 3, 3):
        curve = list(points[i : i + 4])
        while k < len(cuts) and curve[-1][1] < cuts[k] < curve[0][1]:
            above, curve = _split(curve, cuts[k])
            pieces[-1][1].extend(above[1:])
            k += 1
            pieces.append((k, [curve[0]]))
        pieces[-1][1].extend(curve[1:])
    return pieces


def _split(curve: Sequence[Point], height: float) -> tuple[list[Point], list[Point]]:
    """A cubic Bézier curve in two, at the parameter where it passes a height."""
    low, high = 0.0, 1.0
    for _ in range(40):
        t = (low + high) / 2
        above, below = _divided(curve, t)
        low, high = (t, high) if below[0][1] > height else (low, t)
    return above, below


def _divided(curve: Sequence[Point], t: float) -> tuple[list[Point], list[Point]]:
    """De Casteljau's division at the parameter t."""
    rows = [list(curve)]
    while len(rows[-1]) > 1:
        rows.append([
            ((1 - t) * a[0] + t * b[0], (1 - t) * a[1] + t * b[1])
            for a, b in zip(rows[-1], rows[-1][1:], strict=False)
        ])  # fmt: skip
    return [row[0] for row in rows], [row[-1] for row in reversed(rows)]


def rounded(corners: Sequence[Point], radius: float = 7.0) -> list[Point]:
    """Control points of straight lines through the corners, which are rounded."""
    path = [corners[0]]
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        near, far = _towards(corner, before, radius), _towards(corner, after, radius)
        path += [*_straight(path[-1], near), corner, corner, far]
    return [*path, *_straight(path[-1], corners[-1])]


def _towards(a: Point, b: Point, distance: float) -> Point:
    """The point at a distance from a, or halfway to b if that is nearer."""
    length = ((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2) ** 0.5
    t = min(distance / length, 0.5) if length else 0.0
    return a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])


def _straight(a: Point, b: Point) -> list[Point]:
    """The three further control points of a line from a to b."""
    return [tuple(x + t * (y - x) for x, y in zip(a, b, strict=True)) for t in (1 / 3, 2 / 3, 1)]  # type: ignore[misc]


def positions(layout: Layout, arrows: str = "forward") -> tuple[dict[str, str], dict[tuple[str, str], str]]:
    """The attributes that fix the boxes and the edges of a layout in DOT text."""
    places = {name: f'pos="{p.x:.2f},{p.y:.2f}"' for name, p in layout.places.items()}
    lines = {}
    for line in layout.lines:
        end, before = line.points[-1], next(p for p in reversed(line.points[:-1]) if p != line.points[-1])
        length = ((end[0] - before[0]) ** 2 + (end[1] - before[1]) ** 2) ** 0.5
        tip = tuple(a + ARROW * (a - b) / length for a, b in zip(end, before, strict=True))
        path = " ".join(f"{x:.2f},{y:.2f}" for x, y in line.points)
        first, after = line.points[0], next(p for p in line.points[1:] if p != line.points[0])
        back = ((first[0] - after[0]) ** 2 + (first[1] - after[1]) ** 2) ** 0.5
        root = tuple(a + ARROW * (a - b) / back for a, b in zip(first, after, strict=True))
        start = f"s,{root[0]:.2f},{root[1]:.2f} " if arrows != "forward" else ""
        end_point = f"e,{tip[0]:.2f},{tip[1]:.2f} " if arrows != "backward" else ""
        label = f', lp="{line.label[0]:.2f},{line.label[1]:.2f}"' if line.label else ""
        lines[line.tail, line.head] = f'pos="{start}{end_point}{path}"{label}'
    return places, lines
