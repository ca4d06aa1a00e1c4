"""Drawing: DOT text that always parses, files that are whole, pictures that are neither cut nor huge."""

import os
import re
import struct
import subprocess
import sys
import warnings
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pygraphviz
import pytest

import minigraph as mg
from minigraph.inspect.draw import draw, levels_crossed, mimebundle, to_dot
from minigraph.inspect.draw import render as rendering
from minigraph.inspect.draw.dot import HOT, INK, caption, duration, setting
from minigraph.inspect.profile import Profile, Row

HOSTILE = [
    'a "quoted" name', "back\\slash \\N \\G \\", "<b>&amp;</b>", "{x|y}", "line\nbreak\ttab\r", "nul\x00 and \udc80",
    "日本 ∂ ∥ é", "]]> --> ;}", "", "  ", "x" * 5000, "several words, " * 40, "&#92;N", "'",
]  # fmt: skip
MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF", "dot": b"digraph"}


def network(leaf=lambda shape: np.ones(shape)):
    x = mg.constant(leaf((8, 16)), "x")
    with mg.scope("net"):
        for i, side in enumerate((36, 10)):
            with mg.scope(f"fc{i}"):
                w = mg.parameter(leaf((x.shape[1], side)), "weight")
                x = mg.ops.maximum(mg.ops.matmul(x, w), 0)
    return (x**2).sum().named("loss")


def size(png: bytes) -> tuple[int, int]:
    return struct.unpack(">II", png[16:24])


def svg_text(dot: str) -> str:
    """What is to be read in the picture of a DOT text."""
    svg = rendering.picture(dot, "svg").decode()
    text = re.sub(r"&#(\d+);", lambda m: chr(int(m[1])), "".join(re.findall(r"<text[^>]*>(.*?)</text>", svg)))
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_any_name_parses_and_is_shown(name):
    with mg.scope(name):
        y = (mg.parameter([1.0, 2.0], name) * 2).named(name)
    text = to_dot(y)
    graph = pygraphviz.AGraph(string=text)
    assert (graph.number_of_nodes(), graph.number_of_edges()) == (2, 1)
    shown = svg_text(text)
    if len(name) < 26 and name.isprintable() and name.strip():
        assert shown.count(name.replace(" ", "\xa0")) + shown.count(name) >= 2
    assert len(shown) < 600


def test_same_graph_same_bytes():
    first = to_dot(network())
    assert first == to_dot(network())
    assert first == to_dot(mg.Tape.of(network()))


def test_content():
    text = to_dot(network())
    assert re.search(r'label="[^"]*\b288×128"', text)  # ∂(8×36)/∂(8×16)
    assert text.count("subgraph cluster_") == 3
    assert "maximum(·, 0)" in text
    assert "power(·, 2)" in text
    assert pygraphviz.AGraph(string=text).number_of_nodes() == 9
    plain = to_dot(network(), edges=False, scopes=False, values=False, direction="LR")
    assert "288×128" not in plain
    assert "subgraph" not in plain
    assert "net/fc0/weight" in plain
    assert "= 2.6" not in plain
    assert "rankdir=LR" in plain


def test_not_computed_is_not_zero():
    x, w = mg.parameter(2.0, "x"), mg.parameter(np.ones(9), "w")
    y = (x * 0 + w.sum() * 0).sum()
    assert to_dot(y).count("∂ not computed") == 2
    assert "∂" not in to_dot(y, gradients=False)
    y.backward(retain_graph=True)
    text = to_dot(y)
    assert "not computed" not in text
    assert "∂ = 0<" in text
    assert "‖∂‖ = 0<" in text


def test_operands_are_told_apart():
    a, b = mg.parameter(1.0, "a"), mg.parameter(2.0, "b")
    assert re.findall(r'label=" (x.)', to_dot(a - b)) == ["x₁", "x₂"]
    assert "x₁" not in to_dot(a + b)
    assert "subtract(1, ·)" in to_dot(1 - a)


def test_dtypes_appear_when_they_differ():
    x = mg.parameter(np.ones(3, np.float32), "x")
    assert "float32" not in to_dot(x * x)
    text = to_dot(mg.ops.where(mg.constant([True, False, True], "mask"), x, x))
    assert "(3,) float32" in text
    assert "(3,) bool" in text
    assert "style=dashed" in text  # no derivative in a boolean


def test_abstract_graphs_draw_without_values():
    y = network(lambda shape: mg.Spec((10**6 * shape[0], shape[1]) if shape[0] == 8 else shape))
    text = to_dot(y)
    assert "36000000×" not in text
    assert "288000000×128000000" in text
    assert "not computed" not in text
    assert "= " not in svg_text(text)
    assert "not computed" not in to_dot(mg.constant(mg.Spec((2,))) * mg.parameter(np.ones(2)))


def test_gradients_show_where_values_are_gone():
    """Parameters have values and gradients, the root a value, what lies between only shapes."""
    x, w = mg.constant(mg.Spec((5, 3), np.float64), "x"), mg.parameter(np.ones((2, 3)), "w")
    h = mg.relu(mg.linear(x, w).named("h"))
    w.grad = 2 * np.ones((2, 3))
    for y in (mg.ops.sum(h), mg.Node(np.float64(7.0), mg.ops.sum(h).op, (h,), "y")):
        text = to_dot(y)
        assert "‖∂‖ = 4.899" in text and "5×2" in text
        assert ("= 7" in text) is (not y.abstract)
        assert "h" in str(mg.Tape.of(y)) and "linear" in str(mg.costs(y)) and mg.summary(y)["h"].output == (5, 2)
        for walk in (mg.verify, mg.profile):
            with pytest.raises(mg.GraphError, match="was built from a Spec"):
                walk(y)


def test_hyperparameters_are_short():
    x, w = mg.constant(np.ones((1, 2, 9, 9))), mg.parameter(np.ones((4, 2, 3, 3)))
    y = mg.max_pool2d(mg.conv2d(x, w, padding=1, algorithm="im2col"), 2)
    text = to_dot(y)
    assert ">3×3, padding 1, algorithm im2col<" in text
    assert ">2×2, stride 2<" in text
    assert [setting(v) for v in ((1, 1), ((1, 1), (1, 1)), (3, 2), "im2col", 0.1, None, -1, ((0, 1), (2, 2)))] == [
        "1", "1", "3×2", "im2col", "0.1", "None", "−1", "(0×1, 2)",
    ]  # fmt: skip


def test_indices_are_numpy_text():
    x = mg.parameter(np.ones((4, 3, 5)))
    keys = (
        np.s_[1:3, ::-1], np.s_[..., 0], np.s_[None], np.s_[:, 1], np.s_[-1], np.s_[:-1:2, ...], np.s_[()],
        np.s_[[0, 2], :, None], np.s_[np.array([0, 1, 2, 1, 0])], np.s_[np.ones((4, 3), bool)],
        np.s_[np.int64(1), np.array([True, False, True])], np.s_[mg.constant([1, 2])],
    )  # fmt: skip
    assert [caption(x[key])[1] for key in keys] == [
        "1:3, ::-1", "..., 0", "None", ":, 1", "-1", ":-1:2, ...", "()", "[0, 2], :, None", "5 array", "4×3 mask",
        "1, [True, False, True]", "[1, 2]",
    ]  # fmt: skip


def test_pictures_share_no_ids(tmp_path):
    y = network()
    y.backward(retain_graph=True, retain_grad=True)
    profile = mg.profile(y, 1)
    pages = [mimebundle(y)["image/svg+xml"], mimebundle(y)["image/svg+xml"], draw(y).svg, draw(y, profile=profile).svg]
    for name in ("a", "b"):
        draw(y * 2, tmp_path / f"{name}.svg")
    pages.append((tmp_path / "a.svg").read_text(encoding="utf-8"))
    assert pages[-1] == (tmp_path / "b.svg").read_text(encoding="utf-8")
    ids = [re.findall(r'\bid="([^"]*)"', page) for page in pages]
    assert all(ids) and len({i for found in ids for i in found}) == sum(map(len, ids))
    for page, found in zip(pages, ids, strict=True):
        used = re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', page)
        assert {a or b for a, b in used} <= set(found)
    assert "url(#" in pages[3]


def luminance(colour):
    """As the guidelines for accessible web content (WCAG 2) define it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (n / 255 for n in colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_nodes_are_coloured_by_their_time(tmp_path):
    w = mg.parameter([1.0, 2.0], "w")
    a = np.sin(w).named("a")
    b = (a * a).named("b")
    y = np.sum(b).named("y")
    y.backward(retain_graph=True, retain_grad=True)
    profile = Profile((Row(a, 0.001, 0.002, 0, 0), Row(b, 0.001, None, 0, 0), Row(y, 0.0, 0.0, 0, 0)))
    text = to_dot(y, profile=profile)
    boxes = {
        re.search("<b>(.)</b>", line)[1]: line for line in text.splitlines() if re.match(" *n[0-9]+ .label=<", line)
    }
    fills = {name: re.findall('fillcolor="(#.{6})"', line)[-1] for name, line in boxes.items()}  # the last one holds
    assert fills == {"a": "#FF7A1A", "b": "#FFD3B3", "y": "#FFFFFF", "w": "#FFFFFF"}  # a third of the way for b
    for name, time in (("a", "3 ms, 75.0%"), ("b", "1 ms, 25.0%"), ("y", "0 µs, 0.0%")):
        assert f"<b>{time}</b>" in boxes[name] and "∂ = " in boxes[name]
        assert set(re.findall('font [^>]*color="(#.{6})"', boxes[name])) == {INK}
    assert "%" not in boxes["w"]
    ink = luminance(bytes.fromhex(INK[1:]))
    assert (luminance(HOT) + 0.05) / (ink + 0.05) > 4.5

    shown = svg_text(text).replace("\xa0", " ")
    assert "4 ms = forward 2 ms + backward 2 ms" in shown and "3 ms, 75.0%" in shown
    assert "forward" not in to_dot(
        y, profile=Profile((Row(a, 1.0, None, 0, 0), *profile.rows[1:2], Row(y, 0, None, 0, 0)))
    )
    still = Profile(tuple(Row(node, 0.0, None, 0, 0) for node in (a, b, y)))
    assert "0 µs, 0.0%" in to_dot(y, profile=still)
    draw(y, tmp_path / "a.svg", profile=profile)
    assert "#ff7a1a" in (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert [duration(s) for s in (5.094e-6, 0.9996e-3, 0.0427, 0.9996, 61.26)] == [
        "5.09 µs", "1 ms", "42.7 ms", "1 s", "61.3 s",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="draw: got a profile without sum 'y'; wanted that of the graph to be drawn"):
        to_dot(y, profile=Profile(profile.rows[:2]))
    with pytest.raises(TypeError, match="draw: got bool as profile; wanted what mg.profile"):
        draw(y, tmp_path / "a.dot", profile=True)


@pytest.mark.parametrize("form", MAGIC)
def test_every_format_is_written_whole(form, tmp_path):
    draw(network(), tmp_path / f"net.{form.upper()}")
    assert [p.name for p in tmp_path.iterdir()] == [f"net.{form.upper()}"]
    assert (tmp_path / f"net.{form.upper()}").read_bytes().startswith(MAGIC[form])


def test_a_failure_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "net.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        draw(network(), path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def chain(n):
    y = mg.parameter(1.0, "x")
    for _ in range(n):
        y = mg.ops.sin(y)
    return y


def test_png_sizes_are_bounded(tmp_path):
    draw(network(), tmp_path / "a.png")
    width, height = size((tmp_path / "a.png").read_bytes())
    assert 400 < width < 2500
    assert 400 < height < 2500
    with pytest.warns(UserWarning, match="too few to read; write an .svg"):
        draw(chain(3000), tmp_path / "b.png")
    width, height = size((tmp_path / "b.png").read_bytes())
    assert 25_000 < height <= rendering.MAX_SIDE + 100


def test_graphs_that_crash_graphviz_are_drawn_without_edge_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["minigraph.inspect.draw"], "MAX_LEVELS_CROSSED", 10**9)
    rng = np.random.default_rng(0)
    nodes = [mg.parameter(1.0, "x")]
    for _ in range(300):
        with mg.scope("/".join(rng.choice(list("abc"), rng.integers(1, 4)))):
            nodes.append(nodes[-1] + nodes[int(rng.integers(max(0, len(nodes) - 20), len(nodes)))])
    with pytest.warns(UserWarning, match="drawn without the sizes on the edges"):
        draw(nodes[-1], tmp_path / "a.svg", depth="op")
    assert (tmp_path / "a.svg").read_bytes().startswith(MAGIC["svg"])


def sum_of_terms(n):
    """n terms of one x, added one after the other: n edges across up to n levels."""
    x = mg.parameter(np.ones(3), "x")
    return sum(np.sin(x * float(i)) for i in range(n))


@pytest.mark.skipif(os.name == "nt", reason="the fake program is a script")
@pytest.mark.parametrize("engine", ["pygraphviz", "dot"])
@pytest.mark.parametrize(("terms", "form"), [(100, "png"), (200, "svg"), (1000, "pdf")])
def test_a_layout_that_takes_too_long_gives_way_to_a_cheaper_one(engine, terms, form, fake_dot, tmp_path, monkeypatch):
    path, real = tmp_path / f"a.{form}", rendering.spawn

    def spawn(command, dot, limit, *rest):
        """The usual layout may take a second, so that the test need not wait; the cheaper one has its whole time."""
        return real(command, dot, limit if "splines=line" in dot else rendering.Limit(1.0), *rest)

    monkeypatch.setattr(rendering, "spawn", spawn)
    monkeypatch.setattr(sys.modules["minigraph.inspect.draw"], "MAX_LEVELS_CROSSED", 10**9)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        draw(sum_of_terms(terms), path, engine=engine, timeout=60)
    assert "so edges are straight and without sizes" in str(caught[-1].message)
    drawn = path.read_bytes()
    assert drawn.startswith(MAGIC[form])
    if form == "svg":
        text = drawn.decode()
        assert (text.count('class="node"'), text.count('class="edge"')) == (3 * terms + 1, 4 * terms - 1)


def test_edges_across_many_levels_are_straight_at_once(tmp_path):
    with pytest.warns(UserWarning, match="edges cross too many levels .*, so edges are straight and without sizes"):
        draw(sum_of_terms(200), tmp_path / "a.svg")
    assert levels_crossed(mg.Tape.of(network())) == 0


@pytest.mark.skipif(os.name == "nt", reason="the program is a script")
def test_no_program_outlasts_its_time(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "dot"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n/bin/sleep 60\ntrue\n")  # which leaves the work to another
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    began = monotonic()
    told = "Graphviz took more than 0.2 seconds for .*; write a .dot file, pass a larger timeout, or draw a part"
    with pytest.raises(rendering.RenderError, match=told):
        draw(network(), tmp_path / "a.svg", engine="dot", timeout=0.2)
    assert monotonic() - began < 20
    assert not (tmp_path / "a.svg").exists()


def test_a_layout_has_one_deadline_for_its_text_and_all_passes(tmp_path, monkeypatch):
    drawing, limits, rests = sys.modules["minigraph.inspect.draw"], [], []
    real = drawing.layout

    def layout(*args, **options):
        sleep(0.05)
        return real(*args, **options)

    def spawn(command, dot, limit, *rest):
        limits.append(limit)
        rests.append(limit.rest())
        raise (rendering.RenderError if len(limits) == 1 else rendering.Overtime)("Graphviz took long")

    monkeypatch.setattr(drawing, "layout", layout)
    monkeypatch.setattr(rendering, "spawn", spawn)
    with pytest.raises(rendering.RenderError, match="Graphviz took long for the first layout, and for the simpler one"):
        draw(network(), tmp_path / "a.svg", timeout=60)
    assert limits[0] is limits[1] is not limits[2]
    assert rests[0] < 59.95 and rests[1] < 59.9 and 59 < rests[2] < 59.95


def test_text_is_the_same_on_a_machine_without_fonts(tmp_path, monkeypatch):
    usual = rendering.picture(to_dot(network()), "png")
    bare = tmp_path / "fonts.conf"
    bare.write_text(f"<fontconfig><cachedir>{tmp_path}</cachedir></fontconfig>")
    monkeypatch.setenv("FONTCONFIG_FILE", str(bare))
    assert size(rendering.picture(to_dot(network()), "png")) == pytest.approx(size(usual), rel=0.02)
    monkeypatch.setattr(rendering, "font_settings", lambda folder: str(bare))  # boxes instead of letters
    assert size(rendering.picture(to_dot(network()), "png")) != pytest.approx(size(usual), rel=0.02)


def test_a_missing_letter_is_warned_of_once(tmp_path, monkeypatch):
    bare = tmp_path / "fonts.conf"
    bare.write_text(f"<fontconfig><cachedir>{tmp_path}</cachedir></fontconfig>")
    monkeypatch.setenv("FONTCONFIG_FILE", str(bare))  # the package's own fonts only
    monkeypatch.setattr(rendering, "_told", set())
    y = mg.parameter(1.0, "λ ᵀ ‖ é 𒀀") * 2
    with pytest.warns(UserWarning, match="no font on this machine has 𒀀, so boxes stand") as caught:
        draw(y, tmp_path / "a.png")
    assert len(caught) == 1
    draw(y, tmp_path / "a.png")
    draw(y, tmp_path / "a.svg")
    with pytest.warns(UserWarning, match="no font on this machine has 𒀁"):
        draw(mg.parameter(1.0, "𒀀𒀁") * 2, tmp_path / "a.pdf")


@pytest.fixture
def fake_dot(tmp_path, monkeypatch):
    """A ``dot`` and a ``neato`` on the PATH that call pygraphviz."""
    for name, program in (("dot", "dot"), ("neato", "nop2")):
        script = tmp_path / "bin" / name
        script.parent.mkdir(exist_ok=True)
        child = Path(rendering.__file__).with_name("child.py")
        script.write_text(
            f"#!{sys.executable}\nimport runpy, sys\n"
            f"form = next(a for a in sys.argv if a.startswith('-T'))[2:]\n"
            f"program = 'nop1' if '-n1' in sys.argv else {program!r}\n"
            f"sys.argv = ['', program, form]\nrunpy.run_path({str(child)!r}, run_name='__main__')\n"
        )
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.mark.skipif(os.name == "nt", reason="the fake program is a script")
def test_the_program_dot(fake_dot, tmp_path, monkeypatch):
    draw(network(), tmp_path / "a.png", engine="dot")
    assert (tmp_path / "a.png").read_bytes().startswith(MAGIC["png"])
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    draw(network(), tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_bytes().startswith(MAGIC["svg"])
    with pytest.raises(rendering.RenderError, match="Graphviz failed"):
        rendering.picture("digraph {", "svg", engine="dot")


def test_errors_say_what_to_do(tmp_path, monkeypatch):
    y = network()
    for bad in ("net.jpg", "net"):
        with pytest.raises(ValueError, match=r"wanted a name that ends in one of \.png, \.svg, \.pdf, \.dot"):
            draw(y, tmp_path / bad)
    with pytest.raises(FileNotFoundError, match="the folder .*missing.* does not exist"):
        draw(y, tmp_path / "missing" / "net.png")
    with pytest.raises(TypeError, match="got ndarray; wanted a Node, a Tape, a Module or a list of Nodes"):
        draw(np.ones(3), tmp_path / "net.png")
    with pytest.raises(ValueError, match="got direction 'up'; wanted 'TB'"):
        draw(y, tmp_path / "net.png", direction="up")
    with pytest.raises(ValueError, match="got engine 'cairo'; wanted"):
        draw(y, tmp_path / "net.png", engine="cairo")
    with pytest.raises(ValueError, match="got dpi 0"):
        draw(y, tmp_path / "net.png", dpi=0)
    with pytest.raises(ValueError, match="more than max_nodes=5; draw a part"):
        draw(y, tmp_path / "net.png", max_nodes=5)
    with pytest.raises(rendering.RenderError, match="Graphviz failed"):
        rendering.picture("digraph {", "svg")
    with pytest.raises(rendering.RenderError, match="took more than"):
        rendering.picture(to_dot(y), "svg", limit=rendering.Limit(0.001))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    for engine in ("pygraphviz", "dot", None):
        with pytest.raises(ImportError, match="pip install pygraphviz"):
            draw(y, tmp_path / "net.png", engine=engine)
    assert list(mimebundle(y)) == ["text/plain"]
    draw(y, tmp_path / "net.dot")
    assert [p.name for p in tmp_path.iterdir()] == ["net.dot"]


def test_notebooks():
    bundle = network()._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<?xml")
    assert "loss" in bundle["text/plain"]
    assert list(mimebundle(chain(400))) == ["text/plain"]


def test_importing_minigraph_imports_no_renderer():
    code = (
        "import sys, minigraph, minigraph.inspect.draw; "
        "sys.exit(', '.join({'pygraphviz', 'graphviz', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_users_module_named_as_one_of_pythons_does_not_matter(tmp_path):
    (tmp_path / "enum.py").write_text("raise SystemExit('not this one')")
    (tmp_path / "net.py").write_text("import minigraph as mg; mg.draw(mg.parameter(1.0) * 2, 'net.svg')")
    path = os.pathsep.join(filter(None, sys.path))
    code = f"import enum, runpy, sys; sys.path[:0] = [{str(tmp_path)!r}]; runpy.run_path('net.py')"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and (tmp_path / "net.svg").exists(), done.stderr
