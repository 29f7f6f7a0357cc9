"""The sources read as text: what no compiler checks."""

import ast
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT, not_sanitized

from gatelearn import _core

CSRC = ROOT / "csrc"
pytestmark = pytest.mark.skipif(not CSRC.is_dir(), reason="no source tree")


def text(path):
    """A C source without comments, string literals emptied; line numbers stay."""
    source = path.read_text()

    def blank(match):
        kept = '""' if match[0].startswith('"') else ""
        return kept + "\n" * match[0].count("\n")

    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, source, flags=re.S)


def lines(path):
    return enumerate(text(path).splitlines(), 1)


CORE = sorted((CSRC / "core").glob("*"))
BINDINGS = sorted((CSRC / "py").glob("*.[ch]"))
ALL = [*CORE, *BINDINGS]
by_name = dict(ids=lambda p: p.name)


def test_there_is_something_to_read():
    assert len(CORE) > 20 and len(BINDINGS) > 5


FORBIDDEN = re.compile(r"\b(f?printf|puts|putchar|perror|v?s?n?printf|exit|_exit|abort|assert"
                       r"|malloc|calloc|realloc|free|aligned_alloc|alloca|s?rand(om)?|getenv|system)\s*\(")


@pytest.mark.parametrize("path", CORE, **by_name)
def test_the_core_allocates_prints_and_ends_nothing(path):
    for number, line in lines(path):
        assert not FORBIDDEN.search(line), f"{path.name}:{number}: {line.strip()}"


@pytest.mark.parametrize("path", CORE, **by_name)
def test_the_core_knows_no_python(path):
    source = path.read_text()
    assert not re.search(r'#include\s+[<"](Python|numpy)', source)
    assert not re.search(r"\bPy[A-Z_]\w*", text(path))


# the only state, as csrc/core/gl_common.h and the style say
STATE = {
    "gl_pool.c": {"job", "state", "busy", "sleep_lock", "sleep_cond", "done_cond", "sleepers",
                  "threads", "nworkers", "starts", "once"},
    "gl_blas.c": {"blas"},
    "gl_isa.c": {"gl_isa_active"},
    "glpy.c": {"lease", "lease_key", "lease_once"},
}


def statements_at_file_scope(path):
    """Text outside of braces and of preprocessor lines, cut at semicolons and closing braces."""
    source = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text(path), flags=re.M)
    depth, kept = 0, ""
    for c in source:
        depth -= c == "}"
        if depth == 0:
            kept += c
        depth += c == "{"
    return [" ".join(s.split()) for s in re.split(r";|\{\}(?!\s*\w+\s*[;=])", kept)]


def variables(path):
    """Names of variables at file scope that can change."""
    found = set()
    for statement in statements_at_file_scope(path):
        no_variable = r"typedef|extern|enum\b(?!.*\})|struct \w+ \{\}$"
        if not statement or re.match(no_variable, statement):
            continue
        declared = statement.split("=")[0].strip()
        declared = re.sub(r"\[[^\]]*\]", "", declared)
        if "(" in declared or re.search(r"\bconst\b(?!.*\*\s*\w+$)", declared):
            continue  # a function, or a constant (a pointer to one can still change)
        if m := re.search(r"[\w}*]\s+\**(\w+)$", declared):
            found.add(m[1])
    return found


@pytest.mark.parametrize("path", [p for p in ALL if p.suffix == ".c"], **by_name)
def test_the_only_state_is_the_one_that_is_named(path):
    found = variables(path)
    if path.parent.name == "py":
        found -= {n for n in found if n.endswith("_methods") or n.endswith("_slots")
                  or n in ("core_module",)}
    assert found == STATE.get(path.name, set())


@pytest.mark.parametrize("path", ALL, **by_name)
def test_no_variable_in_a_function_is_static(path):
    for number, line in lines(path):
        if re.match(r"\s+static\b", line):
            constant = re.match(r"\s+static (const\b|PyObject \*name##)", line)
            assert constant, f"{path.name}:{number}: {line.strip()}"


@pytest.mark.parametrize("path", BINDINGS, **by_name)
def test_without_the_gil_nothing_of_python_is_called(path):
    inside = False
    for number, line in lines(path):
        where = f"{path.name}:{number}: {line.strip()}"
        if re.search(r"\bPy_END_ALLOW_THREADS\b", line):
            assert inside, where
            inside = False
        if inside:
            assert not re.search(r"\b(return|goto)\b|\bPy[A-Z_]\w*|\bglpy_\w+", line), where
        if re.search(r"\bPy_BEGIN_ALLOW_THREADS\b", line):
            assert not inside, where
            inside = True
    assert not inside


@pytest.mark.parametrize("path", [p for p in BINDINGS if p.suffix == ".c"], **by_name)
def test_shapes_in_the_tables_are_capitals(path):
    """{"name", "SHAPE", kind, flags}; a number has no shape."""
    source = re.sub(r"//[^\n]*", "", path.read_text())
    rows = re.findall(r'\{\s*"(\w+)",\s*(NULL|"[^"]*"),\s*(GLPY_\w+),\s*([^}]*)\}', source)
    assert len(rows) == len(re.findall(r'\{\s*"\w+",\s*(?:NULL|"[^"]*"),\s*GLPY_', source))
    for name, shape, kind, _ in rows:
        number = kind in ("GLPY_FLOAT", "GLPY_INT", "GLPY_FLAG")
        assert number == (shape == "NULL"), f"{path.name}: {name}"
        assert number or re.fullmatch(r'"[A-Z]{1,5}"', shape), f"{path.name}: {name}: {shape}"


def tables():
    """Names of the arguments in each static table, with the macros they share put in."""
    for path in BINDINGS:
        source = re.sub(r"//[^\n]*", "", path.read_text()).replace("\\\n", "\n")
        shared = {m[1]: m[2] for m in re.finditer(
            r"#define (\w+_SPEC)\b(.*?)(?=\n\s*\n|\n#)", source, re.S)}
        for m in re.finditer(r"static const glpy_spec \w+\[\w+\] = \{(.*?)\n?\s*\};", source, re.S):
            body = m[1]
            for name, rows in shared.items():
                body = body.replace(name, rows)
            after = source[m.end():]
            call = re.search(r'glpy_parse\(&?\w+, (?:"(\w+)"|name),', after)
            yield call[1] if call else None, re.findall(r'\{\s*"(\w+)",\s*(?:NULL|")', body)


def test_signatures_name_the_arguments_of_the_tables():
    """A message then calls an argument what help() calls it."""
    checked = 0
    for function, names in tables():
        if function is None:
            continue  # one table for several functions
        assert list(inspect.signature(getattr(_core, function)).parameters) == names, function
        checked += 1
    assert checked >= 15


FUNCTIONS = {name: f for name, f in vars(_core).items()
             if callable(f) and not name.startswith("__")}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_a_signature_and_a_sentence(name):
    f = FUNCTIONS[name]
    for parameter in inspect.signature(f).parameters.values():
        assert parameter.kind is inspect.Parameter.POSITIONAL_ONLY
    assert re.match(r"[A-Za-z][^\n]*\.(\n|$)", f.__doc__), f.__doc__


def test_the_stub_lists_exactly_the_functions():
    tree = ast.parse((ROOT / "gatelearn" / "_core.pyi").read_text())
    stub = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert stub.keys() == FUNCTIONS.keys()
    for name, node in stub.items():
        assert not node.args.args and not node.args.kwonlyargs, f"{name}: not positional only"
        arguments = [a.arg for a in node.args.posonlyargs]
        assert arguments == list(inspect.signature(FUNCTIONS[name]).parameters), name
        assert node.returns is not None and all(a.annotation for a in node.args.posonlyargs), name


@not_sanitized
def test_stubtest_finds_nothing(tmp_path):
    pytest.importorskip("mypy.stubtest")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "mypy.stubtest", "gatelearn._core",
         "--ignore-disjoint-bases"],
        cwd=tmp_path, capture_output=True, text=True, timeout=240,
        env={**os.environ, "PYTHONPATH": str(Path(_core.__file__).parent.parent)})
    assert done.returncode == 0, done.stdout + done.stderr


@not_sanitized
@pytest.mark.skipif(shutil.which("nm") is None, reason="no nm")
def test_the_module_exports_one_symbol():
    done = subprocess.run(["nm", "-D", "--defined-only", _core.__file__], capture_output=True,
                          text=True, check=True)
    names = {line.split()[-1] for line in done.stdout.splitlines()}
    assert names - {"_init", "_fini"} == {"PyInit__core"}


def test_every_source_of_the_core_has_a_header():
    for path in CORE:
        if path.suffix == ".c" and not path.name.startswith("isa_"):
            assert path.with_suffix(".h").exists(), path.name


HEADERS = [p for p in ALL if re.fullmatch(r"\w+\.h", p.name)]


@pytest.mark.parametrize("path", HEADERS, **by_name)
def test_headers_are_guarded_and_explained(path):
    source = path.read_text()
    assert source.startswith("// "), "no sentence at the top"
    guard = path.stem.upper()
    guard = guard if guard.startswith(("GL_", "GLPY")) else f"(?:GL|GLPY)_{guard}"
    assert re.search(rf"#ifndef ({guard}_H)\n#define \1\n", source)


def test_every_template_is_included():
    sources = "\n".join(p.read_text() for p in ALL)
    for path in CORE:
        if path.name.endswith(".tmpl.h"):
            assert f'#include "{path.name}"' in sources, path.name


def written():
    folders = [("csrc", "**/*.[ch]"), ("gatelearn", "**/*.py"), ("tests", "**/*.py")]
    return [p for folder, pattern in folders for p in sorted(Path(ROOT, folder).glob(pattern))]


@pytest.mark.parametrize("path", written(), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_short_and_plain(path):
    source = path.read_text()
    rows = source.splitlines()
    assert len(rows) <= 600
    assert source == "" or source.endswith("\n")
    assert "\t" not in source and "\r" not in source
    for number, row in enumerate(rows, 1):
        assert row == row.rstrip(), f"{path.name}:{number}: a blank at the end"
