"""Build of the C core. What cannot be said in pyproject.toml is said here."""

import os
import shutil
import sys
from pathlib import Path

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
BLAS = os.environ.get("GATELEARN_BLAS", "vendored")
if BLAS not in ("vendored", "system", "none"):
    sys.exit(f"GATELEARN_BLAS is {BLAS!r}, expected vendored, system or none")

CORE_FLAGS = ["-std=gnu11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off",
              "-fvisibility=hidden", "-Wall", "-Wextra", "-Wshadow", "-Wdouble-promotion"]
PEDANTIC = ["-Wpedantic", "-Wconversion", "-Wmissing-prototypes", "-Werror"]
SANITIZE = os.environ.get("GATELEARN_SANITIZE", "")
COVERAGE = os.environ.get("GATELEARN_COVERAGE", "")


def sources(folder):
    return sorted(str(p.relative_to(ROOT)) for p in (ROOT / "csrc" / folder).glob("*.c"))


class Build(build_ext):
    """Compiles the core with stricter warnings than the bindings; vendors OpenBLAS."""

    def build_extension(self, ext):
        compile_one = self.compiler._compile
        # developers build with GATELEARN_WERROR=1; a user's newer compiler may warn of more
        strict = PEDANTIC if os.environ.get("GATELEARN_WERROR") else []

        def compile_with_flags(obj, src, ext_, cc_args, extra, pp_opts):
            if Path(src).parent.name == "core":
                extra = [*extra, *strict]
            elif strict:
                extra = [*extra, "-Werror"]
            compile_one(obj, src, ext_, cc_args, extra, pp_opts)

        self.compiler._compile = compile_with_flags
        super().build_extension(ext)

    def run(self):
        super().run()
        if BLAS == "vendored":
            self.vendor_blas(Path(self.get_ext_fullpath("gatelearn._core")).parent / "_openblas")

    def vendor_blas(self, folder):
        import scipy_openblas32

        folder.mkdir(parents=True, exist_ok=True)
        library = Path(scipy_openblas32.get_lib_dir())
        names = [p for p in library.iterdir() if p.suffix in (".so", ".dylib")]
        if not names:
            sys.exit(f"scipy-openblas32 has no shared library in {library}")
        for path in names:
            shutil.copy2(path, folder)
        for licence in library.parent.glob("LICENSE*"):
            shutil.copy2(licence, folder)


flags, link = list(CORE_FLAGS), []
if SANITIZE:
    flags += [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g"]
    link += [f"-fsanitize={SANITIZE}"]
if COVERAGE:
    flags += ["--coverage", "-O1"]
    link += ["--coverage"]

setup(
    ext_modules=[
        Extension(
            "gatelearn._core",
            sources=sources("core") + sources("py"),
            depends=sorted(str(p.relative_to(ROOT)) for p in (ROOT / "csrc").glob("*/*.h")),
            define_macros=[("GATELEARN_DEFAULT_BLAS", f'"{BLAS}"')],
            extra_compile_args=[*flags, "-isystem", numpy.get_include(), "-pthread"],
            extra_link_args=[*link, "-pthread"],
            libraries=["m"] if sys.platform == "darwin" else ["m", "dl"],
        )
    ],
    cmdclass={"build_ext": Build},
)
