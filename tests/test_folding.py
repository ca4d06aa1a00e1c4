"""Folded drawings: every published network on one page, nothing cut, nothing lost, no arrow against the direction."""

import base64
import re
import struct
import warnings
from itertools import combinations

import numpy as np
import pytest

import minigraph as mg
from minigraph.inspect.draw.dot import Content, duration
from minigraph.inspect.draw.folded import Folded, on_page
from minigraph.inspect.draw.outline import MAX_BOXES, levels_of, outline
from minigraph.inspect.draw.page import Layout, Line, Place, fitted, parsed, positions
from minigraph.inspect.draw.render import Limit
from minigraph.inspect.draw.themes import THEMES
from minigraph.tape import Tape


def output(name):
    model = mg.models.build(name)
    return model(mg.Spec((1, *model.image)))


def pixels(path):
    return struct.unpack(">II", path.read_bytes()[16:24])


def assert_sound(layout):
    """Boxes do not overlap, edges begin and end at their boxes, and lead down within a column."""
    places = layout.places
    for a, b in combinations(places.values(), 2):
        apart = abs(a.x - b.x) >= (a.width + b.width) / 2 - 0.5, abs(a.y - b.y) >= (a.height + b.height) / 2 - 0.5
        assert any(apart), (a, b)
    for line in layout.lines:
        tail, head = places[line.tail], places[line.head]
        assert abs(line.points[0][1] - (tail.y - tail.height / 2)) < 12 + tail.height / 2
        x, y = line.points[-1]
        assert abs(x - head.x) < head.width / 2 + 8 and head.y < y < head.y + head.height / 2 + 12  # from above
        if abs(tail.x - head.x) < 1:
            assert tail.y > head.y


@pytest.mark.parametrize("name", mg.models.names())
def test_every_published_network_fits_a_page(name, tmp_path):
    path = tmp_path / "net.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mg.draw(mg.models.build(name), path)
    width, height = pixels(path)
    assert 0.5 <= width / height <= 2 and max(width, height) < 4000 and path.stat().st_size < 3e6


@pytest.mark.parametrize("name", ["lenet5", "googlenet", "resnet152", "inception_resnet_v2"])
def test_nothing_is_lost_and_nothing_overlaps(name):
    y = output(name)
    tape = Tape.of(y)
    for level in levels_of(tape.nodes, None)[-2:]:
        boxes = outline(tape.nodes, [y], level)
        parts = [part for box in boxes.boxes for part in (box, *box.repeats)]
        nodes = [node for part in parts for node in part.nodes if node.op]
        assert sorted(n.serial for n in nodes) == [n.serial for n in tape.nodes if n.op]
        read = {p for box in boxes.boxes for p in box.parameters()}
        assert read == set(tape.parameters)
        order = {box: i for i, box in enumerate(boxes.boxes)}
        assert all(order[a] < order[b] or not a.nodes[0].op for a, b in boxes.edges)
        drawing = Folded(boxes, tape, [y], Content(), "TB")
        natural = drawing.layout(None, Limit(None))
        for size in (None, (13.333, 7.5), (8.27, 11.69)):
            assert_sound(on_page(natural, size, True)[0])


def test_repeated_blocks_become_one_box():
    y = output("resnet50")
    titles = [f"{box.title} ×{len(box.repeats) + 1}" for box in outline(Tape.of(y).nodes, [y], 2).boxes if box.repeats]
    assert titles == ["layer1/1 … 2 ×2", "layer2/1 … 3 ×3", "layer3/1 … 5 ×5", "layer4/1 … 2 ×2"]
    x = mg.constant(np.ones((2, 3)), "x")
    for i, side in enumerate((3, 3, 4)):  # the last has another shape, and is another layer
        with mg.scope(f"block{i}"):
            x = mg.relu(mg.linear(x, mg.parameter(np.ones((side, x.shape[1])))))
    boxes = outline(Tape.of(x).nodes, [x], 1).boxes
    assert [(box.title, len(box.repeats)) for box in boxes] == [("", 0), ("block0 … block1", 1), ("block2", 0)]


def test_a_box_for_each_call_of_a_module(tmp_path):
    class Net(mg.nn.Module):
        def __init__(self):
            self.lin = mg.nn.Linear(3, 3)

        def forward(self, x):
            h = self.lin(x)
            return self.lin(self.lin(mg.relu(h))), h.sum()

    net = Net()
    path = tmp_path / "net.svg"
    mg.draw(net, path, inputs=(4, 3), depth=1)
    svg = path.read_text()
    assert len(re.findall(r"<title>lin: [^→]*</title>", svg)) == 3 and "sum: sum, scalar" in svg
    assert svg.count("12 parameters") == 1 and svg.count("shared parameters") == 2
    assert net.lin.weight.scope == ""
    with pytest.raises(TypeError, match="draw: got Net without an input"):
        mg.draw(net, path)
    with pytest.raises(mg.ShapeError, match="draw: an input of shape .* does not go through Net"):
        mg.draw(net, path, inputs=(4, 5))
    with pytest.raises(TypeError, match="draw: got Parameter and inputs; wanted a Module with its inputs"):
        mg.draw(net.lin.weight, path, inputs=(4, 5))


def test_pages_have_their_size_and_folding_further_is_said(tmp_path):
    y = output("inception_resnet_v2")
    path = tmp_path / "net.png"
    for size, (width, height) in {"slide": (13.333, 7.5), "page": (8.27, 11.69), (10, 10): (10, 10)}.items():
        with pytest.warns(UserWarning, match=r"folded to depth 1, since more does not fit"):
            mg.draw(y, path, size=size, dpi=100)
        np.testing.assert_allclose(pixels(path), (100 * width, 100 * height), atol=6)
    with pytest.warns(UserWarning, match=r"needs .* times the size of 2 × 2 inches to be read, and is that large"):
        mg.draw(y, path, size=(2, 2), depth=1, dpi=100)
    assert min(pixels(path)) > 400


def test_depths(tmp_path):
    y = output("resnet18")
    boxes = {}
    for depth in ("stage", "block", "layer", 1, 4, "op"):
        path = tmp_path / f"{depth}.svg"
        mg.draw(y, path, depth=depth)
        boxes[depth] = path.read_text().count('class="node"')
    assert boxes["stage"] == boxes[1] < boxes["block"] <= boxes["layer"] == boxes[4] < boxes["op"]
    assert len(outline(Tape.of(y).nodes, [y], 2).boxes) <= MAX_BOXES
    first = (tmp_path / "1.svg").read_bytes()
    mg.draw(y, tmp_path / "1.svg", depth=1)
    assert (tmp_path / "1.svg").read_bytes() == first


def test_an_svg_says_what_it_shows(tmp_path):
    mg.draw(mg.models.build("lenet5"), tmp_path / "net.svg")
    svg = (tmp_path / "net.svg").read_text()
    assert '<svg role="img"' in svg and "<title>C1: conv2d, 2 multiply, tanh, 1×6×28×28</title>" in svg
    assert "<title>C1: conv2d, 2 multiply, tanh, 1×6×28×28 → S2: " in svg and re.search(
        r"<desc>A graph of \d+ boxes", svg
    )
    x = mg.parameter([1.0, 2.0], "<x>")
    mg.draw(np.sum(x * x).named("y"), tmp_path / "net.svg")
    svg = (tmp_path / "net.svg").read_text()
    assert "<title>y</title>\n<desc>A graph of 3 nodes" in svg and "<title>parameter &lt;x&gt;, 2</title>" in svg


def drawn(y, tmp_path, **options):
    mg.draw(y, tmp_path / "a.dot", **options)
    return (tmp_path / "a.dot").read_text()


@pytest.mark.parametrize("depth", ["op", "layer"])
def test_what_nodes_and_edges_show(depth, tmp_path):
    x = mg.parameter(np.array([[1.0, -2.0, np.nan, 4.0, 5.0]]), "x")
    with mg.scope("fc"):
        w = mg.parameter(np.ones((3, 5)), "w")
        y = mg.relu(mg.linear(x, w)).named("y")
    y = np.sum(y).named("l")
    assert re.search(r'label=" .*\d+×\d+"', drawn(y, tmp_path, depth=depth))
    assert not re.search(r"-> n\d+ \[label", drawn(y, tmp_path, depth=depth, edges=False))
    assert "dir=back" in drawn(y, tmp_path, depth=depth, arrows="backward")
    assert "dir=both" in drawn(y, tmp_path, depth=depth, arrows="both")
    bytes_of = {"op": "24 B", "layer": "48 B"}[depth]
    assert bytes_of in drawn(y, tmp_path, depth=depth, memory=True)
    assert "parameter</font>" in drawn(y, tmp_path, depth=depth, legend=True)
    if depth == "op":
        assert "diag(Ind(x > 0))" in drawn(y, tmp_path, depth=depth, edges="name")
        assert "3 non-zeros" in drawn(y, tmp_path, depth=depth, edges="nonzeros")
        assert "1 NaN or ∞" in drawn(y, tmp_path, depth=depth, statistics=True)
        assert drawn(y, tmp_path, depth=depth, parameters="hidden").count(", shape=box") == 3
        line = drawn(y, tmp_path, depth=depth, parameters="line")
        assert line.count(", shape=box") == 3 and "w 3×5" in line
        y.backward(retain_graph=True, retain_grad=True)
        assert "‖∂‖ 1.732" in drawn(y, tmp_path, depth=depth, edges="gradient")


@pytest.mark.parametrize("options", [{}, {"depth": 1}, {"size": "slide"}])
def test_thumbnails_of_jacobians(options, tmp_path):
    x = mg.constant(np.ones((1, 1, 6, 6)), "x")
    with mg.scope("conv"):
        h = mg.conv2d(x, mg.parameter(np.ones((2, 1, 3, 3)), "w"))
    y = np.sum(mg.relu(h).named("H~")).named("y")
    mg.draw(y, tmp_path / "a.svg", thumbnails=True, **options)
    svg = (tmp_path / "a.svg").read_text()
    pictures = re.findall(r'href="data:image/png;base64,([^"]+)"', svg)
    assert len(pictures) == 3 and '.png"' not in svg and "H̃" in svg
    assert base64.b64decode(pictures[0]).startswith(b"\x89PNG")
    mg.draw(y, tmp_path / "a.png", thumbnails=True, **options)
    with pytest.raises(ValueError, match=r"draw: got thumbnails for a \.dot file"):
        mg.draw(y, tmp_path / "a.dot", thumbnails=True)


def test_a_profile_of_folded_boxes(tmp_path):
    """The time of a box is the sum of its nodes and repeats, and all boxes together take the whole time."""
    x = mg.constant(np.ones((2, 3)), "x")
    for i in range(4):
        with mg.scope(f"block{i}"):
            x = mg.relu(mg.linear(x, mg.parameter(np.ones((3, 3)))))
    y = np.sum(x)
    profile = mg.profile(y, repeats=1)
    boxes = outline(Tape.of(y).nodes, [y], 1)
    drawing = Folded(boxes, Tape.of(y), [y], Content(), "TB", profile)
    seconds = [drawing.times.seconds.get(box.output, 0.0) for box in boxes.boxes]
    assert [len(box.repeats) for box in boxes.boxes] == [0, 3, 0] and max(seconds) == drawing.times.most
    np.testing.assert_allclose(sum(seconds), profile.seconds)
    mg.draw(y, tmp_path / "p.svg", depth=1, profile=profile)
    assert "forward" in (tmp_path / "p.svg").read_text() and duration(max(seconds)) in (tmp_path / "p.svg").read_text()
    with pytest.raises(ValueError, match="got a profile without"):
        mg.draw(np.sum(x * 2.0), tmp_path / "p.svg", depth=1, profile=profile)


@pytest.mark.parametrize("depth", ["op", "block"])
def test_themes_change_colours_only(depth, tmp_path):
    x = mg.parameter([1.0, 2.0], '="#FFFFFF"')
    with mg.scope("block"):
        y = np.sum(x * x).named("y")
    texts = {}
    for theme in ("light", "dark", "print", "contrast"):
        mg.draw(y, tmp_path / "a.dot", depth=depth, theme=theme)
        texts[theme] = (tmp_path / "a.dot").read_text()
        assert "=&quot;#FFFFFF&quot;" in texts[theme] or depth == "block"
    plain = {re.sub('="(#[0-9A-F]{6}|white)"|=white', "=c", text) for text in texts.values()}
    assert len(plain) == 1 and len(set(texts.values())) == 4
    assert 'fontcolor="#E8ECF0"' in texts["dark"] and 'bgcolor="#14181D"' in texts["dark"]


def test_theme_colours_can_be_read():
    """Text on every fill has a contrast of at least 4.5, as WCAG asks for."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return np.dot((0.2126, 0.7152, 0.0722), linear)

    for colours in THEMES.values():
        for text in ("#1B1F24", "#59626D"):
            for fill in ("#DCEAF6", "#FBE7BF", "#FFFFFF", "#F3D9E6", "#F5F7F9"):
                a, b = sorted(luminance(colours.get(c, c)) for c in (text, fill))
                assert (b + 0.05) / (a + 0.05) >= 4.5


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"depth": "blocks"}, ValueError, "draw: got depth 'blocks'; wanted 'op', 'layer', 'block' or 'stage'"),
        ({"depth": 0}, ValueError, "draw: got depth 0; wanted at least 1"),
        ({"depth": 1.5}, TypeError, "draw: got depth 1.5; wanted an integer"),
        ({"theme": "neon"}, ValueError, "draw: got theme 'neon'; wanted 'light', 'dark', 'print' or 'contrast'"),
        (
            {"edges": "sizes"},
            ValueError,
            "draw: got edges 'sizes'; wanted 'size', 'shape', 'name', 'nonzeros' or 'gradient'",
        ),
        ({"parameters": "none"}, ValueError, "draw: got parameters 'none'; wanted 'box', 'line' or 'hidden'"),
        ({"arrows": "up"}, ValueError, "draw: got arrows 'up'; wanted 'forward', 'backward' or 'both'"),
        ({"legend": 1}, TypeError, "draw: got legend 1; wanted True or False"),
        ({"size": "a4"}, ValueError, "draw: got size 'a4'; wanted 'slide' or 'page'"),
        ({"size": (1, 2, 3)}, TypeError, r"draw: got size .*; wanted 'slide', 'page' or \(width, height\) in inches"),
        ({"size": (0, 5)}, ValueError, "draw: got width 0"),
        ({"size": (100, 1)}, ValueError, "at most 20:1"),
    ],
)
def test_bad_options(options, error, told, tmp_path):
    with pytest.raises(error, match=told):
        mg.draw(mg.parameter(1.0) * 2, tmp_path / "a.svg", **options)


@pytest.mark.parametrize("end", [29, 24])  # where arrowheads begin, below and above the middle between two boxes
def test_columns_of_a_chain(end):
    chain = Layout(
        {f"n{i}": Place(0, -50 * i, 80, 30) for i in range(20)},
        tuple(
            Line(f"n{i}", f"n{i + 1}", ((0, -50 * i - 15), (0, -50 * i - 18), (0, -50 * i - 20), (0, -50 * i - end)))
            for i in range(19)
        ),
    )
    assert chain.ratio() < 0.1
    for ratio in (None, 16 / 9, 1.0, 0.6):
        tried = fitted(chain, ratio)
        assert_sound(tried)
        assert 0.6 < tried.ratio() / (ratio or 1) < 1.6
        for line in tried.lines:  # each leads to its box, in whichever column
            (x, y), head = line.points[-1], tried.places[line.head]
            assert abs(x - head.x) < 1 and 0 < y - (head.y + 15) < 15
        places, lines = positions(tried)
        assert len(places) == 20 and len(lines) == 19
    text = 'graph 1 2 2\nnode n0 1 1.5 1 .5 x solid box black white\nedge n0 n1 4 1 1 1 .9 1 .8 1 .7 " 3×4" 1.2 .9 solid black\n'
    layout = parsed(text)
    assert layout.places["n0"] == Place(72, 108, 72, 36) and layout.lines[0].label == pytest.approx((86.4, 64.8))


def test_frozen_parameters_are_marked(tmp_path):
    """In a drawing of nodes, in a folded box, and in the summary."""
    nn = mg.nn
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).initialize(0)
    getattr(net, "0").requires_grad_(False)
    net.parameters()[-1].requires_grad = False
    y = net(np.zeros((1, 1, 8, 8), np.float32))
    mg.draw(y, tmp_path / "a.dot", depth=None)
    mg.draw(net, tmp_path / "b.dot", inputs=(1, 1, 8, 8), depth=1)
    text, folded = (tmp_path / "a.dot").read_text(), (tmp_path / "b.dot").read_text()
    assert text.count("frozen parameter") == 3 and 'style="filled,dashed"' in text
    assert "40 parameters, frozen" in folded and "1,450 parameters, 10 frozen" in folded
    assert "50 of them frozen" in str(mg.summary(y)) and mg.summary(y).totals.frozen == 50
    mg.draw(y, tmp_path / "a.png", depth=None)
