# Builds a guest with the SDK. In the Makefile of a guest:
#
#     SDK ?= ../sdk
#     include $(SDK)/guest.mk
#
#   make          guest.o, guest.elf (with debug information) and guest.img (flat: loaded and entered at address 0)
#   make clean    removes them
#
# Variables, for the Makefile or the command line:
#   GUEST   sources, .c or .S             (guest.c, main.c or guest.S)
#   OUT     where the results go          (the directory make runs in)
#   CC      gcc or clang                  (gcc)
#   OPT     optimization                  (-O1: fast enough, and a debugger can still follow)
#   EXTRA   more options for the compiler
#   GDB_SCRIPT  a script that guest.elf tells gdb to load, usually mini_hypervisor.py
#           (the installed one, if gdb trusts its directory; see docs/debugging.md)
#   V       1: show the commands

SDK_MK := $(lastword $(MAKEFILE_LIST))
SDK ?= $(patsubst %/,%,$(dir $(SDK_MK)))
GUEST ?= $(firstword $(wildcard guest.c main.c guest.S))
ifeq ($(strip $(GUEST))$(filter clean,$(MAKECMDGOALS)),)
$(error there is no guest.c, main.c or guest.S in $(CURDIR); name the sources with GUEST)
endif
OUT ?= .
OPT ?= -O1
ifeq ($(origin CC),default)
CC := gcc
endif
OBJCOPY ?= objcopy

GDB_SCRIPT ?= $(wildcard /usr/share/gdb/auto-load/mini_hypervisor.py)

V ?= 0
ifneq ($(V),1)
.SILENT:
endif
QUIET := $(findstring s,$(firstword -$(MAKEFLAGS))) # make -s
SAY := $(if $(strip $(QUIET)),:,echo)

# The header shared with the hypervisor lies in the SDK once installed, in the source tree before.
ABI := $(firstword $(wildcard $(SDK)/include/mh/guest_abi.h $(SDK)/../../include/mh/guest_abi.h))
ifeq ($(ABI),)
$(error mh/guest_abi.h is neither in $(SDK)/include nor in $(SDK)/../../include)
endif

# freestanding: no C library. no-pic, no-pie: the guest runs where it is linked to. no-red-zone: an exception handler
# of the guest may use the stack right below rsp. general-regs-only: some hosts cannot run SSE in ring 0.
# Nothing unused is dropped by the linker: debug information of dropped code would claim address 0, where the guest is.
GUEST_CFLAGS := -m64 -std=gnu11 -ffreestanding -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only \
    -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none \
    $(OPT) -g -Wall -Wextra -Werror=implicit-function-declaration -I$(SDK) -I$(ABI:/mh/guest_abi.h=) -MMD -MP
GUEST_LDFLAGS := -m elf_x86_64 -static -nostdlib --build-id=none -z noexecstack -z max-page-size=4096

ifneq ($(GDB_SCRIPT),)
GUEST_ASFLAGS := -DGDB_SCRIPT='"$(abspath $(GDB_SCRIPT))"'
endif

SDK_SOURCES := crt0.S console.c files.c files_bytes.c string.c
GUEST_OBJECTS := $(addprefix $(OUT)/,$(addsuffix .o,$(basename $(notdir $(GUEST)))))
SDK_OBJECTS := $(addprefix $(OUT)/sdk/,$(addsuffix .o,$(basename $(SDK_SOURCES))))
COURSE_OBJECT := $(OUT)/sdk/course.o
OBJECTS := $(SDK_OBJECTS) $(GUEST_OBJECTS) $(COURSE_OBJECT)

.PHONY: all clean
.DELETE_ON_ERROR:

all: $(OUT)/guest.img

$(OUT)/guest.img: $(OUT)/guest.elf
	$(SAY) "  IMG  $@"
	$(OBJCOPY) -O binary $< $@

$(OUT)/guest.elf: $(OBJECTS) $(SDK)/guest.ld
	$(SAY) "  LD   $@"
	$(LD) $(GUEST_LDFLAGS) -T $(SDK)/guest.ld -o $@ $(OBJECTS)

# One rule for each source: they may lie anywhere, and their objects always in OUT.
define compile
$(1): $(2) $(SDK_MK) | $(dir $(1))
	$$(SAY) "  CC   $$@"
	$$(CC) $$(GUEST_CFLAGS) $$(if $$(filter %.S,$(2)),$$(GUEST_ASFLAGS)) $$(EXTRA) -c -o $$@ $(2)
endef
$(foreach source,$(SDK_SOURCES),$(eval $(call compile,$(OUT)/sdk/$(basename $(source)).o,$(SDK)/$(source))))
$(eval $(call compile,$(COURSE_OBJECT),$(SDK)/course.c))
$(foreach source,$(GUEST),$(eval $(call compile,$(OUT)/$(basename $(notdir $(source))).o,$(source))))

$(sort $(dir $(OBJECTS))):
	mkdir -p $@

clean:
	$(SAY) "  CLEAN"
	rm -f $(OUT)/guest.img $(OUT)/guest.elf $(OBJECTS) $(OBJECTS:.o=.d)
	rmdir $(OUT)/sdk 2>/dev/null || true

-include $(OBJECTS:.o=.d)
