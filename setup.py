"""Build of the C core. What cannot be said in pyproject.toml is said here.

Environment: GATELEARN_BLAS is vendored (default), system or none; GATELEARN_WERROR=1 turns all
warnings on and into errors; GATELEARN_SANITIZE and GATELEARN_COVERAGE are the Makefile's.
"""

import os
import shlex
import shutil
import sys
import sysconfig
from importlib.metadata import files as files_of
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
BLAS = os.environ.get("GATELEARN_BLAS") or "vendored"
if BLAS not in ("vendored", "system", "none"):
    sys.exit(f"error: GATELEARN_BLAS is {BLAS!r}, expected vendored, system or none")
STRICT = os.environ.get("GATELEARN_WERROR", "") not in ("", "0")
SANITIZE = os.environ.get("GATELEARN_SANITIZE", "")
COVERAGE = os.environ.get("GATELEARN_COVERAGE", "")

FLAGS = ["-std=gnu11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off",
         "-fvisibility=hidden", "-pthread", "-Wall", "-Wextra", "-Wshadow", "-Wdouble-promotion",
         "-isystem", numpy.get_include()]
PEDANTIC = ["-Wpedantic", "-Wconversion", "-Wmissing-prototypes"]
LINK = ["-pthread"]
if SANITIZE:
    # -O1: the instrumented kernels would compile for minutes
    FLAGS += ["-O1", "-g", f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all",
              "-fno-omit-frame-pointer"]
    LINK += [f"-fsanitize={SANITIZE}"]
if COVERAGE:
    FLAGS += ["--coverage", "-O1"]
    LINK += ["--coverage"]
if not (SANITIZE or COVERAGE or "CFLAGS" in os.environ):
    FLAGS += ["-g0"]  # many a Python says -g, which makes the module five times as large


def sources(pattern):
    return sorted(str(p.relative_to(ROOT)) for p in (ROOT / "csrc").glob(pattern))


class Build(build_ext):
    """Compiles on all processors, the core with the most warnings; vendors OpenBLAS."""

    def build_extension(self, ext):
        self.check_compiler()
        compile_all = self.compiler.compile

        def compile_one(source, options):
            strict = PEDANTIC if Path(source).parent.name == "core" else []
            # a user's newer compiler may warn of more, which is no reason to fail there
            extra = [*options.pop("extra_postargs"), *(["-Werror", *strict] if STRICT else [])]
            return compile_all([source], extra_postargs=extra, **options)

        def compile_parallel(sources, **options):
            with ThreadPool(os.cpu_count()) as pool:
                objects = pool.starmap(compile_one, [(s, dict(options)) for s in sources])
            return [name for names in objects for name in names]

        self.compiler.compile = compile_parallel
        super().build_extension(ext)

    def check_compiler(self):
        name = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
        header = Path(sysconfig.get_path("include"), "Python.h")
        if shutil.which(name) is None:
            missing = f"a C compiler: '{name}' is not found"
        elif not header.exists():
            missing = f"the headers of Python: {header} is not found"
        else:
            return
        sys.exit(f"error: gatelearn needs {missing}. To install both: apt install gcc python3-dev "
                 "(Debian, Ubuntu), dnf install gcc python3-devel (Fedora), xcode-select --install "
                 "(macOS)")

    def run(self):
        # what an earlier build with other settings left in build/ is of no use
        settings = repr([BLAS, STRICT, SANITIZE, COVERAGE, *map(os.environ.get, ("CC", "CFLAGS"))])
        stamp = Path(self.build_temp, "settings")
        self.force = self.force or not stamp.exists() or stamp.read_text() != settings
        super().run()
        stamp.write_text(settings)
        folder = Path(self.get_ext_fullpath("gatelearn._core")).parent / "_openblas"
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier build with another BLAS
        if BLAS == "vendored":
            folder.mkdir(parents=True)
            for path in self.openblas():
                shutil.copy2(path, folder)

    def openblas(self):
        """The library and the licences of all that is linked into it."""
        every = [Path(p.locate()) for p in files_of("scipy-openblas32")]
        library = [p for p in every if p.suffix in (".so", ".dylib")]
        licences = [p for p in every if p.name.startswith("LICENSE")]
        if not library or not licences:
            sys.exit("error: scipy-openblas32 has no shared library or no licence: set "
                     "GATELEARN_BLAS to system or none to build without it")
        return library + licences


setup(
    ext_modules=[
        Extension(
            "gatelearn._core",
            sources=sources("core/*.c") + sources("py/*.c"),
            depends=sources("*/*.h"),
            define_macros=[("GATELEARN_DEFAULT_BLAS", f'"{BLAS}"')],
            extra_compile_args=FLAGS,
            extra_link_args=LINK,
            libraries=["m"] if sys.platform == "darwin" else ["m", "dl"],
        )
    ],
    cmdclass={"build_ext": Build},
)
