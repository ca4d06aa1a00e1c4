"""The documentation: its Python runs, its commands exist, its links lead somewhere, its names are right."""

import contextlib
import doctest
import importlib
import importlib.util
import io
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import test_ops
from cases import FUNCTIONS, elementwise

import minigraph as mg
from minigraph import cli
from minigraph.ops.elementwise import Elementwise

HOME = Path(__file__).parent.parent
CHECKOUT = (HOME / "Makefile").exists()  # else a copy of some files, beside an installed package
DOCS = [
    path for path in (HOME / "README.md", HOME / "CONTRIBUTING.md", *sorted(HOME.glob("docs/**/*.md"))) if path.exists()
]
PAGES = [*DOCS, *([HOME / "CHANGELOG.md"] if CHECKOUT else [])]
LANGUAGES = {"python", "sh", "console", "text"}
FENCE = re.compile(r"^(```+)[ \t]*(\S*)[^\n]*\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)
PROGRAMS = {"make", "minigraph", "pip", "python", "pre-commit"}  # what the commands in the docs may be

each = pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


def blocks(path, *languages):
    """(first line, text) of the code blocks in these languages."""
    text = path.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        if not languages or found[2] in languages:
            yield text.count("\n", 0, found.start(3)) + 1, found[3]


def examples(path):
    """(first line, text, output) of the Python blocks; the output is that of a text block right after it, or None."""
    text = path.read_text(encoding="utf-8")
    found = [*FENCE.finditer(text)]
    for block, after in zip(found, [*found[1:], None], strict=True):
        if block[2] == "python":
            printed = after and after[2] == "text" and not text[block.end() : after.start()].strip()
            yield text.count("\n", 0, block.start(3)) + 1, block[3], after[3] if printed else None


def prose(path):
    """The text without its code blocks."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def commands():
    """(name of the page, commands as lists of words) of every block of commands in the docs."""
    for path in DOCS:
        for _, text in blocks(path, "sh", "console"):
            lines = [shlex.split(line.removeprefix("$ "), comments=True) for line in text.splitlines()]
            yield path.name, [words for words in lines if words]


COMMANDS = list(commands())


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder but for the examples; what the docs register is forgotten afterwards."""
    shutil.copytree(HOME / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(HOME / "docs" / "pictures", tmp_path / "docs" / "pictures")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    registry, tables = [*mg.extend.Op.registry], (Elementwise.table, FUNCTIONS, elementwise.TABLE)
    known = [{*table} for table in tables]
    yield tmp_path
    mg.extend.Op.registry[:] = registry
    for table, names in zip(tables, known, strict=True):
        for name in table.keys() - names:
            del table[name]


def test_there_are_docs():
    assert {path.name for path in DOCS} >= {"README.md", "architecture.md", "mathematics.md", "add-an-op.md"}
    assert COMMANDS and all(list(blocks(path, "python")) for path in DOCS if path.parent.name == "docs")


@each_page
def test_every_block_says_what_it_is(path):
    languages = [found[2] for found in FENCE.finditer(path.read_text(encoding="utf-8"))]
    assert set(languages) <= LANGUAGES
    assert "```" not in prose(path), "a fence is not closed"


@each
def test_python(path, here):
    """The blocks of one file, from top to bottom, in one namespace; then the ops they define, like all ops."""
    ops, entries = {*mg.extend.Op.registry}, {*Elementwise.table}
    namespace = {"__name__": f"docs_{path.stem}"}
    for line, text, printed in examples(path):
        code = compile("\n" * (line - 1) + text, str(path), "exec")  # tracebacks show the line of the page
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(code, namespace)
        assert printed in (None, said.getvalue()), f"{path.name}, line {line}"
    rng = np.random.default_rng(0)
    cases = [(cls, case) for cls in mg.extend.Op.registry if cls not in ops for case in FUNCTIONS[cls](rng)]
    cases += [(Elementwise, elementwise.case(op, rng)) for name, op in Elementwise.table.items() if name not in entries]
    for cls, case in cases:
        test_ops.test_op(cls, case)


@pytest.mark.parametrize(
    ("page", "lines"), COMMANDS, ids=[f"{page}: {shlex.join(lines[0])}" for page, lines in COMMANDS]
)
def test_commands(page, lines, here, capsys):
    """The commands of one block, in order, in one folder."""
    for program, *arguments in lines:
        run_command(page, Path(program).name, arguments, capsys)


def run_command(page, program, arguments, capsys):
    """One command of the docs."""
    assert program in PROGRAMS, f"{page} has a command that no test knows: {program}"
    if program == "make" and CHECKOUT:
        targets = re.findall(r"^([a-z]+):", (HOME / "Makefile").read_text(), re.MULTILINE)
        goals = [word for word in arguments if "=" not in word and not word.startswith("-")]
        assert goals and set(goals) <= set(targets)
    elif program == "minigraph":
        assert cli.main([*arguments[:1], "--help"]) == 0
        said = capsys.readouterr().out
        assert all(word.split("=")[0] in said for word in arguments if word.startswith("-"))
        if arguments[0] != "demo":  # which takes a while, and has tests of its own
            assert cli.main(arguments) == 0
    elif program == "python":
        assert all((HOME / word).exists() for word in arguments if word.endswith(".py"))


@each_page
def test_links(path):
    """Relative links and pictures lead to files, and their fragments to headings."""
    text = re.sub(r"`[^`\n]+`", "", prose(path))
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not CHECKOUT and file != HOME / "README.md" and HOME / "docs" not in file.parents:
            continue
        assert file.exists(), f"{path.name} links to {target}"
        if fragment:
            assert fragment in map(slug, re.findall(r"^#+ +(.+)$", prose(file), re.MULTILINE)), target


def slug(heading):
    """The fragment that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@each
def test_names(path):
    """Every `mg.name`, and every path in the project, that the text mentions is there."""
    for name in re.findall(r"`mg\.([A-Za-z_][\w.]*)", prose(path)):
        found = mg
        for part in name.split("."):
            assert hasattr(found, part), f"{path.name} mentions mg.{name}"
            found = getattr(found, part)
    if CHECKOUT:
        for name in re.findall(r"`((?:minigraph|ops|tests|docs|examples|benchmarks|\.ci)/[\w./-]*)`", prose(path)):
            assert (HOME / name).exists(), f"{path.name} mentions {name}"


def test_docstrings():
    """Doctests, where a module has any."""
    roots = {"minigraph": Path(mg.__file__).parent, "minigraph.ops": Path(mg.ops.__file__).parent}
    for package, folder in roots.items():
        for path in folder.rglob("*.py"):
            if ">>>" in path.read_text(encoding="utf-8"):
                parts = [part for part in path.relative_to(folder).with_suffix("").parts if part != "__init__"]
                module = importlib.import_module(".".join([package, *parts]))
                assert not doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed


@pytest.mark.skipif(not (HOME / "docs" / "coverage.py").exists(), reason="in a checkout only")
def test_the_page_on_coverage_is_what_is_covered():
    spec = importlib.util.spec_from_file_location("coverage_page", HOME / "docs" / "coverage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.PAGE.read_text(encoding="utf-8")
    if f"with NumPy {'.'.join(np.__version__.split('.')[:2])}." not in text:
        pytest.skip("written with another NumPy, which has other functions")
    assert text == module.page(), "run: python docs/coverage.py"
