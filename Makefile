# What one types first; CMake does the work. See CONTRIBUTING.md for presets, sanitizers and the whole test suite.
#
#   make            build ./mini_hypervisor and the sample guests
#   make test       build and run the tests
#   make install    install below PREFIX (/usr/local); DESTDIR is put before it
#   make clean      remove what make has built
#
# Variables: CC (the compiler, when the build directory is made), PREFIX, DESTDIR, JOBS, and for `make test` TESTS, a
# regular expression: `make test TESTS=unit_options` runs one.

ifneq ($(shell command -v ninja),)
GENERATOR := Ninja
BUILD := build/default
else
GENERATOR := Unix Makefiles
BUILD := build/make
endif
PREFIX ?= /usr/local
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

LINKS := mini_hypervisor guest.img guest1.img guest2.img flowers.png
# CMake's tools must not see the options of this make.
CMAKE := env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS cmake
# the tests are built once `make test` has asked for them
OPTIONS := $(if $(wildcard $(BUILD)/CMakeCache.txt),,-DBUILD_TESTING=OFF)
COMPILER := $(if $(filter-out default undefined,$(origin CC)),-DCMAKE_C_COMPILER=$(CC))

.PHONY: all program guests links test install clean check-build check-test

all: links
	@echo "built ./mini_hypervisor; try: ./mini_hypervisor --memory 4 --page 2 --guest guest.img"

program: check-build
	@$(CMAKE) -S . -B $(BUILD) -G "$(GENERATOR)" $(COMPILER) $(OPTIONS) >$(BUILD).log 2>&1 || { cat $(BUILD).log >&2; exit 1; }
	@$(CMAKE) --build $(BUILD) --parallel $(JOBS)

# Beside their sources, where `make` in a guest's directory puts them too.
guests: check-build
	@for makefile in guests/*/Makefile; do $(MAKE) --no-print-directory -s -C "$${makefile%/*}" || exit 1; done

# So that the command lines of the documents work here as they are written.
links: program guests
	@ln -sfn $(BUILD)/tools/mini_hypervisor/mini_hypervisor mini_hypervisor
	@ln -sfn guests/hello/guest.img guest.img
	@ln -sfn guests/primes/guest.img guest1.img
	@ln -sfn guests/fibonacci/guest.img guest2.img
	@ln -sfn guests/files/flowers.png flowers.png

test: OPTIONS := -DBUILD_TESTING=ON
test: check-test links
	@ctest --test-dir $(BUILD) --output-on-failure --parallel $(JOBS) $(if $(TESTS),-R "$(TESTS)")

install: program
	@DESTDIR="$(DESTDIR)" $(CMAKE) --install $(BUILD) --prefix "$(PREFIX)"

clean:
	@rm -rf build/default build/default.log build/make build/make.log $(LINKS)
	@for makefile in guests/*/Makefile; do $(MAKE) --no-print-directory -s -C "$${makefile%/*}" clean || exit 1; done

# ---- what is missing, in one line, before anything else can fail for it ----

PACKAGES = case $$(command -v apt-get || command -v dnf || command -v pacman || command -v apk) in \
    */apt-get) echo "sudo apt-get install $(1)" ;; \
    */dnf) echo "sudo dnf install $(2)" ;; \
    */pacman) echo "sudo pacman -S $(3)" ;; \
    */apk) echo "sudo apk add $(4)" ;; \
    *) echo "install the packages that have them" ;; \
    esac

check-build:
	@mkdir -p build; missing=; \
	command -v cmake >/dev/null || missing="$$missing, cmake"; \
	command -v objcopy >/dev/null || missing="$$missing, binutils"; \
	[ -e $(BUILD)/CMakeCache.txt ] || printf '#include <stdio.h>\nint main(void) { return 0; }\n' | \
	    $(CC) -x c -o build/compiler-works - 2>/dev/null || missing="$$missing, a C compiler with libc headers"; \
	rm -f build/compiler-works; \
	[ -z "$$missing" ] || { echo "cannot build; missing: $${missing#, }; get them with: $$($(call PACKAGES,cmake ninja-build gcc libc6-dev binutils,cmake ninja-build gcc glibc-devel binutils,cmake ninja gcc binutils,cmake ninja gcc musl-dev binutils))" >&2; exit 1; }

check-test:
	@missing=; \
	command -v python3 >/dev/null || missing="$$missing, python3"; \
	[ -e $(BUILD)/CMakeCache.txt ] || printf '#include <stdarg.h>\n#include <stddef.h>\n#include <setjmp.h>\n#include <stdint.h>\n#include <cmocka.h>\n' | \
	    $(CC) -x c -fsyntax-only - 2>/dev/null || missing="$$missing, cmocka"; \
	[ -z "$$missing" ] || { echo "cannot test; missing: $${missing#, }; get them with: $$($(call PACKAGES,python3 libcmocka-dev gdb,python3 libcmocka-devel gdb,python cmocka gdb,python3 cmocka-dev gdb))" >&2; exit 1; }
