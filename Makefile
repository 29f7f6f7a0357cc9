# Everyday commands. PYTHON names the interpreter of the environment to work in.

PYTHON ?= python
CC ?= cc
PYTEST = $(PYTHON) -P -m pytest
CORE = $(wildcard csrc/core/*.c)
HEADERS = $(wildcard csrc/core/*.h)
CFLAGS_TEST = -std=gnu11 -O1 -g -fno-math-errno -fno-trapping-math -ffp-contract=off -fvisibility=hidden -pthread
WARNINGS = -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wmissing-prototypes -Wdouble-promotion -Werror
LIBS = -lm -ldl

# a sanitizer's module lives beside a copy of the package, so that the everyday one stays as it is
ASAN = build/asan
ASAN_FLAGS = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ASAN_ENV = LD_PRELOAD="$(shell $(CC) -print-file-name=libasan.so) $(shell $(CC) -print-file-name=libubsan.so)" \
    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc \
    PYTHONPATH=$(CURDIR)/$(ASAN)

.PHONY: build test asan tsan cov bench lint clean

build:
	GATELEARN_WERROR=1 $(PYTHON) setup.py build_ext --inplace

test: build
	PYTHONPATH=$(CURDIR) $(PYTEST)

# All tests that touch the core, then once more on the plain C product, into which sanitizers see.
asan: $(ASAN)/race
	for isa in baseline avx2 avx512; do ./$(ASAN)/race $$isa || exit 1; done
	GATELEARN_SANITIZE=address,undefined $(PYTHON) setup.py build_ext --build-lib $(ASAN) \
	    --build-temp $(ASAN)/objects
	cp -R gatelearn/. $(ASAN)/gatelearn-new
	rm -f $(ASAN)/gatelearn-new/_core*.so
	cp -R $(ASAN)/gatelearn-new/. $(ASAN)/gatelearn
	rm -rf $(ASAN)/gatelearn-new
	$(ASAN_ENV) $(PYTEST) -p no:cacheprovider --ignore tests/test_package.py \
	    --ignore tests/test_notebooks.py --ignore tests/test_sweeps.py --ignore tests/test_atari.py \
	    --ignore tests/test_control.py --ignore tests/test_study_wsa.py
	$(ASAN_ENV) GATELEARN_BLAS=none $(PYTEST) -p no:cacheprovider \
	    tests/test_attention.py tests/test_attention_nan.py tests/test_checker.py tests/test_conv.py \
	    tests/test_combiner.py tests/test_gated.py tests/test_linear.py tests/test_nn.py \
	    tests/test_transformer.py

# Only C: a Python with the sanitizer preloaded does not come up.
tsan: build/tsan/race
	for isa in baseline avx2 avx512; do TSAN_OPTIONS=halt_on_error=1 ./$< $$isa || exit 1; done

$(ASAN)/race: csrc/tests/race.c $(CORE) $(HEADERS) $(wildcard csrc/core/*.tmpl.h)
	mkdir -p $(@D)
	$(CC) $(CFLAGS_TEST) $(WARNINGS) $(ASAN_FLAGS) -o $@ $< $(CORE) $(LIBS)

build/tsan/race: csrc/tests/race.c $(CORE) $(HEADERS) $(wildcard csrc/core/*.tmpl.h)
	mkdir -p $(@D)
	$(CC) $(CFLAGS_TEST) $(WARNINGS) -fsanitize=thread -o $@ $< $(CORE) $(LIBS)

# Lines of the core that the tests reach, by file.
cov:
	rm -rf build/cov
	GATELEARN_COVERAGE=1 $(PYTHON) setup.py build_ext --build-lib build/cov \
	    --build-temp build/cov/objects
	cp -R gatelearn/. build/cov/gatelearn-new
	rm -f build/cov/gatelearn-new/_core*.so
	cp -R build/cov/gatelearn-new/. build/cov/gatelearn
	rm -rf build/cov/gatelearn-new
	-PYTHONPATH=$(CURDIR)/build/cov $(PYTEST) -p no:cacheprovider --ignore tests/test_package.py --ignore tests/test_notebooks.py
	cd build/cov && find objects -name '*.gcda' | xargs gcov -p -r -s $(CURDIR) 2> /dev/null \
	    | grep -A1 "^File 'csrc" | sed -n "s/^File '\(.*\)'/\1/p; s/^Lines executed://p" \
	    | paste - - | sort

bench:
	$(PYTHON) benchmarks

lint:
	ruff check .
	$(PYTHON) -P -m mypy.stubtest gatelearn._core

clean:
	rm -rf build gatelearn/_core*.so gatelearn/_openblas
