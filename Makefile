# SPDX-License-Identifier: GPL-2.0
#
# lockstep: what can be made here. `make help` says what each target does.
#
# User space builds into build/; the module builds in kmod/ for the running
# kernel, or another: make modules KVER=6.1.0-56-amd64 [KDIR=headers]
# [VMLINUZ=image] [KVMAMD=kvm-amd.ko] [KVMINTEL=kvm-intel.ko].

PREFIX ?= /usr/local
DESTDIR ?=

# Folders with programs; the lab's are not installed.
PROGRAM_DIRS := $(patsubst %/Makefile,%,$(wildcard daemon/Makefile tools/*/Makefile mapreduce/Makefile))

all: programs all-selftests/lab
programs: $(PROGRAM_DIRS:%=all-%)

$(PROGRAM_DIRS:%=all-%) all-selftests/lab: all-%:
	$(MAKE) -C $* all

# With make -j, libraries of one folder that others would make, too, come first.
all-mapreduce all-tools/ctl all-tools/mrctl: all-daemon
all-tools/mrctl: all-mapreduce

# KVER and the others reach kmod/Makefile, which knows the defaults.
modules:
	$(MAKE) -C kmod

check:
	scripts/check

check-long:
	scripts/check --long

bench-mapreduce:
	scripts/deps build
	$(MAKE) -C mapreduce bench

bench-ft:
	scripts/deps build lab
	$(MAKE) all
	PYTHONPATH=selftests/lab selftests/lab/bench/ft --json build/bench-ft.json $(BENCH)

style:
	scripts/style

lab:
	scripts/deps build lab
	$(MAKE) all
	selftests/lab/run $(SCENARIOS)

demo:
	scripts/deps build lab
	$(MAKE) all
	selftests/lab/demo $(DEMO)

install: programs
	$(MAKE) -C packaging install PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)

uninstall:
	$(MAKE) -C packaging uninstall PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)

clean:
	$(MAKE) -C kmod clean
	rm -rf build

help:
	@echo 'make              programs'
	@echo 'make modules      kmod/lockstep.ko for the running kernel, or KVER=... KDIR=...'
	@echo 'make check        all tests, TAP, one summary line; installs what is missing (root)'
	@echo 'make check-long   the same with the long scenarios'
	@echo 'make demo         two lab hosts, a protected Debian guest, a power loss, a table; DEMO=--small: a small guest'
	@echo 'make lab          lab scenarios; SCENARIOS="boot qemu" chooses'
	@echo 'make bench-mapreduce  speed of MapReduce next to that of others, as ratios'
	@echo 'make bench-ft     speed of protection beside its goals, table and picture; BENCH="clock failover" chooses'
	@echo 'make style        style and static checks, TAP'
	@echo 'make install      programs, man pages, units: PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)'
	@echo 'make uninstall    takes them away again'
	@echo 'make clean        removes what was built; the cache (lab kernels, QEMU) stays'

.PHONY: all programs modules check check-long bench-mapreduce bench-ft style lab demo install uninstall clean help
.PHONY: $(PROGRAM_DIRS:%=all-%) all-selftests/lab
