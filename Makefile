# SPDX-License-Identifier: MIT
# Build longpin, run its tests in a guest, install it. "make help" tells the targets.

VERSION := 1.0.0

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec

# What a user may set, on make's command line or in the environment.
KERNEL ?= 6.1
KDIR ?=
PREFIX ?= /usr/local
FILTER ?=
BASE ?=
TESTS ?= ON
V ?= 0
W ?= 1
export V
# Read by the scripts in qemu/: ACCEL (auto, kvm, tcg) and DEPS (install, check, none).

ifneq ($(V),1)
.SILENT:
endif
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

.PHONY: all
all: modules user ## the module for the guest's kernel, the library, pinpin and the tests (default)

.PHONY: deps
deps:
	qemu/deps build guest

# ---- the guest's kernel

kernel := build/kernel/$(KERNEL)/release

build/kernel/%/release: | deps
	qemu/kernel $*

# ---- the module

# Kbuild leaves its objects beside the sources, and only 6.13 learned otherwise: it gets a folder of links.
ifdef KDIR
kdir := $(abspath $(KDIR))
# Not what kernel.release says: Debian's kernels are called otherwise.
release := $(or $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(kdir)/include/generated/utsrelease.h),$(error \
	KDIR=$(KDIR) has no configured kernel))
driver := build/driver/$(release)
else
kdir := $(CURDIR)/build/kernel/$(KERNEL)/headers
driver := build/driver/$(KERNEL)
$(driver)/longpin.ko: $(kernel)
endif

sources := $(wildcard driver/* uapi/linux/*)
jobs = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
kbuild = $(MAKE) $(jobs) -C $(kdir) M=$(CURDIR)/$(driver) W=$(W) LONGPIN_UAPI=$(CURDIR)/uapi LONGPIN_VERSION=$(VERSION)

.PHONY: modules
modules: $(driver)/longpin.ko ## the module alone; KDIR=... builds it for another kernel than the guest's

# $(call link,FROM,TO)
define link
	mkdir -p $(2)
	find $(2) -maxdepth 1 -type l -delete
	ln -s $(CURDIR)/$(1)/* $(2)/
endef

$(driver)/longpin.ko: $(sources) Makefile | deps
	$(call link,driver,$(driver))
	$(kbuild) modules
	touch $@

.PHONY: check-kernels
check-kernels: ## build the module against other kernels: KDIRS="DIR DIR ...", their build trees or headers
	$(if $(KDIRS),,$(error check-kernels needs KDIRS="DIR DIR ..."))
	tests/kernels $(KDIRS)

.PHONY: modules_install
modules_install: modules ## install the module for the kernel that KDIR names (DESTDIR is honoured)
	$(if $(KDIR),,$(error modules_install needs KDIR=/lib/modules/RELEASE/build))
	$(kbuild) $(if $(wildcard $(kdir)/certs/signing_key.pem),,CONFIG_MODULE_SIG_ALL=) \
		$(if $(DESTDIR),INSTALL_MOD_PATH=$(abspath $(DESTDIR))) modules_install
	$(if $(DESTDIR),,depmod $(release))

# ---- the library, pinpin and the tests

# Even a quiet ninja says that there is nothing to do.
ninja := $(if $(filter 1,$(V)),-v,--quiet | sed '/^ninja: no work to do/d')

.PHONY: user
user: build/user/build.ninja ## the library, pinpin and the tests
	ninja -C build/user $(ninja)

.PHONY: user-asan
user-asan: build/user-asan/build.ninja
	ninja -C build/user-asan longpin-unit-tests $(ninja)

.PHONY: user-tsan
user-tsan: build/user-tsan/build.ninja
	ninja -C build/user-tsan longpin-thread-tests $(ninja)

# gcc warns falsely of uninitialized variables in what its sanitizers instrument: here warnings stay warnings.
build/user-asan/build.ninja: sanitize := -DLONGPIN_SANITIZE=address,undefined -DLONGPIN_WERROR=OFF \
	-DCMAKE_BUILD_TYPE=Debug
build/user-tsan/build.ninja: sanitize := -DLONGPIN_SANITIZE=thread -DLONGPIN_WERROR=OFF -DCMAKE_BUILD_TYPE=Debug
# Who only installs it needs none of the tests' libraries, and may have a compiler that warns of more.
options = -DLONGPIN_VERSION=$(VERSION) -DLONGPIN_TESTS=$(TESTS) -DLONGPIN_WERROR=$(TESTS) -DCMAKE_INSTALL_PREFIX=$(PREFIX)
.PHONY: force
build/options: force
	mkdir -p build
	echo '$(options)' | cmp -s - $@ || echo '$(options)' >$@
build/%/build.ninja: build/options | deps
	echo "  CMAKE   $(@D)"
	cmake -S userlib -B $(@D) -G Ninja $(options) $(sanitize) --log-level=WARNING $(if $(filter 1,$(V)),,>/dev/null)

.PHONY: install
install: user ## install the library and pinpin under PREFIX (DESTDIR is honoured)
	cmake --install build/user --prefix $(PREFIX)

.PHONY: uninstall
uninstall: ## remove what the last install put there
	xargs -I{} rm -f $(DESTDIR){} <build/user/install_manifest.txt
	sed -n 's,/longpin/[^/]*$$,/longpin,p' build/user/install_manifest.txt | sort -u | xargs -I{} rmdir $(DESTDIR){}

# ---- Debian packages

deb = build/deb

.PHONY: deps-packages
deps-packages:
	qemu/deps build packages

# In a copy of the tree, as they are built beside it and leave things in it. The version is the one above.
.PHONY: deb
deb: deps-packages ## Debian packages of the module (DKMS), the library and pinpin, in build/deb
	rm -rf $(deb)
	mkdir -p $(deb)/longpin-$(VERSION)
	tar -c --exclude=./build --exclude=./.git . | tar -x -C $(deb)/longpin-$(VERSION)
	debian/make-changelog $(VERSION) >$(deb)/longpin-$(VERSION)/debian/changelog
	echo "  DEB     longpin $(VERSION)"
	cd $(deb)/longpin-$(VERSION) && dpkg-buildpackage -us -uc -b >../build.log 2>&1 || { tail -n 40 ../build.log; exit 1; }
	rm -rf $(deb)/longpin-$(VERSION)
	lintian --fail-on error --suppress-tags initial-upload-closes-no-bugs $(deb)/*.changes
	ls $(deb)/*.deb

debian = qemu/run --timeout 5400 --disk "$$(<build/debian)/disk" --nvdimm none --resets \
	--add build/deb:/longpin/build/deb --add build/deb-newer:/longpin/newer --add docs/how-to:/longpin/how-to \
	--add tests/docs/commands:/longpin/commands --add tests/packages:/longpin/packages
mok_password = longpin-12

.PHONY: test-packages
test-packages: deb build/kernel/6.1/release ## install the packages in a fresh Debian, use, upgrade and remove them; and with Secure Boot
	rm -rf build/results
	$(MAKE) deb VERSION=$(VERSION).1 deb=build/deb-newer >/dev/null
	tests/part package-contents tests/packages/contents $(VERSION) build/deb
	tests/packages/image build/deb/*.deb >build/debian
	tests/part installation $(debian) --name installation -- bash /longpin/packages/installation
	tests/part secure-boot tests/packages/enroll $(mok_password) build/run/secure-boot/console \
		$(debian) --name secure-boot --secure-boot "$$(<build/debian)/esp" -- \
		env PASSWORD=$(mok_password) bash /longpin/packages/secure-boot
	tests/summary

# ---- a release

tarball = build/longpin-$(VERSION).tar.gz

# The same bytes from the same commit, whoever makes it.
.PHONY: tarball
tarball: ## the source of the last commit, in build/
	mkdir -p build
	git archive --format=tar --prefix=longpin-$(VERSION)/ HEAD | gzip -9n >$(tarball)
	sha256sum $(tarball)

.PHONY: release
release: ## check that all is in order for a release of VERSION, run all tests, and make the tarball
	[[ -z "$$(git status --porcelain)" ]] || { git status --short; echo "there are changes that no commit has" >&2; exit 1; }
	grep -qE '^## $(subst .,\.,$(VERSION)) \([0-9]{4}-[0-9]{2}-[0-9]{2}\)$$' CHANGELOG.md || \
		{ echo "CHANGELOG.md has no dated heading of $(VERSION)" >&2; exit 1; }
	.ci/run
	$(MAKE) test-debug test-packages test-kernel-faults
	$(MAKE) test-kernel-faults KERNEL=6.12
	tests/summary
	$(MAKE) tarball >build/tarball.sum
	$(MAKE) tarball | cmp build/tarball.sum -
	rm -rf build/from-tarball
	mkdir -p build/from-tarball
	tar -xzf $(tarball) -C build/from-tarball --strip-components=1
	$(MAKE) -C build/from-tarball all
	cat build/tarball.sum

# ---- the guest

examples = hold-buffer cache-registrations userspace-driver
add_examples = $(foreach example,$(examples),--add build/user/example-$(example):/longpin/bin/example-$(example))
guest = qemu/run --kernel $(KERNEL) --module build/driver/$(KERNEL)/longpin.ko \
	--add build/user/pinpin/pinpin:/longpin/bin/pinpin

run_demo = $(guest) --name demo --nvdimm demo -- demo

.PHONY: demo
demo: all ## boot a guest and walk through what longpin does
	$(run_demo)

.PHONY: shell
shell: all ## boot a guest with a shell on this terminal
	$(guest) $(add_examples) --name shell --nvdimm test --interactive

.PHONY: test
test: all user-asan user-tsan ## all tests; FILTER=... chooses among those in the guest
	rm -rf build/results
	tests/part harness qemu/selftest
	tests/part unit build/user-asan/tests/longpin-unit-tests
# gcc 12's TSan gives up (unexpected memory mapping) where the kernel randomizes more than 28 bits of an address.
	tests/part unit-tsan setarch -R build/user-tsan/tests/longpin-thread-tests
	tests/part consumers tests/consumers/run $(VERSION) build/kernel/$(KERNEL)/headers
	tests/part completions tests/completions/run
	tests/part abi tests/abi/run
	$(MAKE) test-docs
	$(MAKE) test-guest
	tests/summary

guest_tests = --timeout 3000 --add tests/guest/run:/longpin/run-tests --add tests/guest/peers:/longpin/peers \
	--add uapi/netlink/longpin.yaml:/longpin/longpin.yaml \
	$(foreach program,guest-tests caller-32 caller-64,--add build/user/tests/longpin-$(program):/longpin/bin/longpin-$(program))

# A namespace is made once: after a reset it is found again.
reset = modprobe longpin && device=$$(ls /dev/dax* 2>/dev/null || pmem-setup namespace devdax_4k) && \
	echo devdax_4k=$$device >/run/longpin/backings && longpin-guest-tests "reset*"

# What leaves marks behind: blocks that were shared, of which 6.1 warns when they are used again; and a file system whose
# device is gone, of which what is left crashes the kernel, sooner or later.
alone = pmem-setup all && modprobe longpin && longpin-guest-tests "[alone]" && longpin-guest-tests "[removal]"

# A hundred processes with a hundred thousand pins have a guest of their own, of a size that people have.
.PHONY: test-guest
test-guest: bench-guest
	tests/part guest-$(KERNEL) $(guest) --name test-$(KERNEL) $(guest_tests) -- \
		/longpin/run-tests $(if $(FILTER),'$(FILTER)')
	$(if $(FILTER),,tests/part scale-$(KERNEL) $(guest) --name scale-$(KERNEL) $(guest_tests) \
		--memory 2G --nvdimm large -- /longpin/run-tests 'scale*')
	$(if $(FILTER),,tests/part alone-$(KERNEL) $(guest) --name alone-$(KERNEL) $(guest_tests) -- sh -c '$(alone)')
	$(if $(FILTER),,tests/part reset-$(KERNEL) $(guest) --name reset-$(KERNEL) $(guest_tests) --resets -- sh -c '$(reset)')
	$(if $(FILTER),,tests/part cost-$(KERNEL) $(bench_guest) --name cost-$(KERNEL) $(cost) \
		--add $(recorded):/longpin/recorded.json -- sh -c '$(cost_setup) && longpin-pin-bench --check /longpin/recorded.json')

.PHONY: test-ynl
test-ynl: all ## what the kernel's own ynl tools make of the netlink specification; fetches Debian's linux-source once
	qemu/deps build guest ynl
	tests/part ynl tests/ynl/run $(guest)

.PHONY: test-kernel-faults
test-kernel-faults: build/kernel/$(KERNEL)/release ## what ends a guest by the kernel's own fault, without longpin
	tests/part kernel-faults-$(KERNEL) tests/kernel-faults $(KERNEL)

.PHONY: test-rt
test-rt: ## the tests in the guest under a kernel with PREEMPT_RT; FILTER=... chooses
	rm -rf build/results
	$(MAKE) test-guest-rt KERNEL=$(KERNEL)-rt
	tests/summary

# There are neither device-DAX nor huge pages of anonymous memory, nor are pages moved to the node that uses them.
.PHONY: test-guest-rt
test-guest-rt: all
	tests/part guest-$(KERNEL) $(guest) --name test-$(KERNEL) $(guest_tests) -- \
		/longpin/run-tests '$(or $(FILTER),~[.]~[devdax]~[thp]~[numa_balancing])'

# Minutes to build that kernel, once; then all takes several times as long as under Debian's. A guest is busy with one
# processor nearly all of the time, so there are two of them.
.PHONY: test-debug
test-debug: ## the tests in the guest under a kernel that looks for mistakes; FILTER=... chooses
	rm -rf build/results
	$(MAKE) all KERNEL=$(KERNEL)-debug
	$(MAKE) -j2 test-guest-debug $(if $(FILTER),,test-faults-debug) KERNEL=$(KERNEL)-debug
	tests/summary

# Where CMA has much of the memory, huge pages of the pool lie in it too, and 6.1 can't pin these: so its test has a guest
# of its own.
#
# Pages know who has them. Page structures aren't filled with a pattern before they are set up: once memory has failed,
# 6.1 looks at those of a device that goes, set up or not, and takes the pattern for a bug. KASAN takes memory, too: no
# GiB of 4 is in one piece, nor of 6 when 2 of them are for CMA.
# 6.12 as it comes refuses to mount what is open for writing, and busybox's mount has the loop device open; Debian's
# own kernel is told otherwise. $(call debug_guest,MEMORY,ARGUMENTS)
debug_guest = $(guest) --memory $(1) --append 'page_owner=on vm_debug=- bdev_allow_write_mounted=1 $(2)'

.PHONY: test-guest-debug
test-guest-debug: all
	tests/part guest-$(KERNEL) $(call debug_guest,6G) --name test-$(KERNEL) $(guest_tests) --timeout 9000 -- \
		/longpin/run-tests '$(or $(FILTER),~[.])'

.PHONY: test-faults-debug
test-faults-debug: all
	tests/part cma-$(KERNEL) $(call debug_guest,8G,cma=2G) --name cma-$(KERNEL) $(guest_tests) -- /longpin/run-tests '[cma]'
	tests/part faults-$(KERNEL) $(call debug_guest,6G) --name faults-$(KERNEL) $(guest_tests) --timeout 9000 -- \
		/longpin/run-tests '[debug]'

.PHONY: fuzz
fuzz: ## random calls against a model, MINUTES=... long, under the debug kernel; SEED=... repeats what was found
	$(if $(MINUTES),,$(error fuzz needs MINUTES=N))
	$(MAKE) fuzz-guest KERNEL=$(KERNEL)-debug

.PHONY: fuzz-guest
fuzz-guest: all
	$(call debug_guest,6G,LONGPIN_FUZZ_MINUTES=$(MINUTES) $(if $(SEED),LONGPIN_FUZZ_SEED=$(SEED))) --name fuzz-$(KERNEL) \
		$(guest_tests) --timeout $$(($(MINUTES) * 60 + 900)) -- /longpin/run-tests 'fuzz*'

# Of what the last make test-debug ran. gcov's notes are written beside the objects, and gcov has to be where the kernel
# was built, from where they name its headers.
.PHONY: coverage
coverage: ## the lines and branches of the module that the last make test-debug ran, and those that it didn't
	qemu/deps debug
	rm -rf build/coverage
	for name in test faults cma; do \
		[[ -s build/run/$$name-$(KERNEL)-debug/files ]] || continue; \
		mkdir -p build/coverage/$$name; \
		tar -xf build/run/$$name-$(KERNEL)-debug/files -C build/coverage/$$name; \
		cp build/driver/$(KERNEL)-debug/*.gcno build/coverage/$$name/; \
	done
	gcovr --root $(CURDIR) --filter '$(CURDIR)/driver/' --gcov-executable gcov-12 --exclude-unreachable-branches \
		--object-directory build/kernel/$(KERNEL)-debug/headers --print-summary --txt build/coverage/lines.txt \
		--html-details build/coverage/index.html build/coverage >build/coverage/summary.txt
	cat build/coverage/lines.txt build/coverage/summary.txt

# ---- benchmarks

# A module that shows the floor of what pinning costs.
floor := build/bench/$(KERNEL)
$(floor)/longpin_floor.ko: $(wildcard tests/bench/floor/*) Makefile $(kernel) | deps
	$(call link,tests/bench/floor,$(floor))
	$(MAKE) $(jobs) -C $(CURDIR)/build/kernel/$(KERNEL)/headers M=$(CURDIR)/$(floor) W=1 modules
	touch $@

.PHONY: bench-guest
bench-guest: all $(floor)/longpin_floor.ko

# NUMA balancing unmaps pages now and then, to see who uses them, and a pin has to map them again.
bench_guest = $(guest) --append 'intel_iommu=on numa_balancing=disable' \
	--module $(floor)/longpin_floor.ko --add tests/guest/peers:/longpin/peers \
	$(foreach bench,pin thread dump truncate large,--add build/user/tests/longpin-$(bench)-bench:/longpin/bin/longpin-$(bench)-bench)

# $(call bench,NAME,OPTIONS,COMMANDS): run these commands in a guest
define bench
	$(bench_guest) --name bench-$(1)-$(KERNEL) $(2) -- sh -c '$(3)' >/dev/null || \
		{ cat build/run/bench-$(1)-$(KERNEL)/output.log; exit 1; }
endef

.PHONY: bench
bench: deps-bench ## boot guests and print what pins, listings and leases cost, in instructions
	$(MAKE) bench-pin FILTER= >/dev/null
	$(call bench,dump,--icount --memory 2G --nvdimm none,modprobe longpin && longpin-dump-bench)
	$(call bench,truncate,--icount --memory 2G --nvdimm fsdax,pmem-setup all && modprobe longpin && longpin-truncate-bench)
	$(MAKE) bench-large >/dev/null
	cp build/run/bench-pin-$(KERNEL)/results build/bench-$(KERNEL).json
	$(pin_report) tables build/bench-$(KERNEL).json >build/bench-pin-$(KERNEL).md
	{ cat build/bench-pin-$(KERNEL).md && for name in dump truncate large large-time; do \
		echo && cat build/run/bench-$$name-$(KERNEL)/output.log; done } >build/bench-$(KERNEL).md
	$(pin_report) data build/bench-$(KERNEL).json >build/bench-$(KERNEL).data
	gnuplot -e "data='build/bench-$(KERNEL).data'; output_file='build/bench-$(KERNEL).svg'; kernel='$(KERNEL)'" \
		tests/bench/chart.gnuplot
	cat build/bench-$(KERNEL).md

.PHONY: bench-pin
bench-pin: bench-guest ## only what pins cost; FILTER=... is a part of the names of memory
	$(call bench,pin,--icount --memory 6G --nvdimm bench --device intel-iommu --device edu,pmem-setup all && \
		modprobe longpin && modprobe longpin_floor && /longpin/peers rdma && /longpin/peers vfio && \
		longpin-pin-bench --memory "$(FILTER)" >$$LONGPIN_TEST_RESULTS)
	cat build/run/bench-pin-$(KERNEL)/output.log

.PHONY: bench-large
bench-large: bench-guest ## only what it costs to pin much more than there is RAM
	$(call bench,large,--icount --memory 2G --nvdimm large,pmem-setup all && modprobe longpin && longpin-large-bench)
	$(call bench,large-time,--memory 2G --nvdimm large,pmem-setup all && modprobe longpin && \
		longpin-large-bench --milliseconds)
	cat build/run/bench-large-$(KERNEL)/output.log build/run/bench-large-time-$(KERNEL)/output.log

pin_report = build/user/tests/longpin-pin-report

.PHONY: bench-compare
bench-compare: user ## the last figures of make bench beside earlier ones: BASE=FILE, a copy of build/bench-KERNEL.json
	$(if $(BASE),,$(error bench-compare needs BASE=FILE))
	$(pin_report) compare $(BASE) build/bench-$(KERNEL).json

.PHONY: bench-threads
bench-threads: bench-guest ## boot a guest and print how pinning gains from threads
	$(call bench,threads,--processors 4 --nvdimm none,modprobe longpin && modprobe longpin_floor && longpin-thread-bench)
	tee build/bench-threads-$(KERNEL).md <build/run/bench-threads-$(KERNEL)/output.log

# What make test compares the cost of pinning with.
recorded = tests/bench/recorded-$(KERNEL).json
cost = --icount --memory 2G --nvdimm bench
cost_setup = echo devdax_2m=$$(pmem-setup namespace devdax_2m) >/run/longpin/backings && modprobe longpin

.PHONY: bench-record
bench-record: bench-guest ## record what pinning costs now, for make test to compare with
	$(call bench,record,$(cost),$(cost_setup) && longpin-pin-bench --record >$$LONGPIN_TEST_RESULTS)
	cp build/run/bench-record-$(KERNEL)/results $(recorded)

.PHONY: deps-bench
deps-bench:
	qemu/deps build guest bench

.PHONY: parity
parity: all ## boot a guest and print what longpin, RDMA, io_uring and V4L2 accept, side by side
	$(guest) --name parity-$(KERNEL) $(guest_tests) -- sh -c '/longpin/run-tests "parity*" && cat /run/longpin/parity.md' \
		>/dev/null || { cat build/run/parity-$(KERNEL)/output.log; exit 1; }
	sed -n '/^| memory/,$$p' build/run/parity-$(KERNEL)/output.log | tee build/parity-$(KERNEL).md

.PHONY: readme
readme: parity bench ## put the tables of make parity, and those and the chart of make bench on pins, into README.md
	$(call fill,parity,build/parity-$(KERNEL).md)
	$(call fill,bench,build/bench-pin-$(KERNEL).md)
	$(call fill,large,build/run/bench-large-$(KERNEL)/output.log)
	$(call fill,truncate,build/run/bench-truncate-$(KERNEL)/output.log)
	$(call fill,dump,build/run/bench-dump-$(KERNEL)/output.log)
	sed '1a <!-- SPDX-License-Identifier: MIT -->' build/bench-$(KERNEL).svg >tests/bench/chart.svg

# $(call fill,MARK,FILE): FILE between MARK's comments
fill = sed -i -e '/^<!-- $(1) -->/,/^<!-- \/$(1) -->/{//!d}' -e '/^<!-- $(1) -->/r $(2)' README.md

# ---- the documentation

# The pages whose commands are run in a guest, one after the other, as their reader runs them in that of make shell. What the
# README, the manual and --help show of pinpin is run after them.
played = docs/tutorial.md $(addprefix docs/how-to/,limits.md containers.md prometheus.md programs.md)
play_demo = $(run_demo) >/dev/null || { cat build/run/demo/output.log; exit 1; }
play_docs = $(guest) --name docs --add tests/docs/play:/longpin/bin/play \
	$(foreach page,$(played),--add $(page):/longpin/$(page)) \
	$(add_examples) --add tests/docs/examples:/longpin/bin/examples --add README.md:/longpin/README.md --add userlib/man:/longpin/man \
	-- sh -c 'pmem-setup all >/dev/null && modprobe longpin && play $(addprefix /longpin/,$(played)) && \
		examples /longpin/README.md /longpin/man/*.scd' >/dev/null || \
	{ cat build/run/docs/output.log; exit 1; }

.PHONY: test-docs
test-docs: all
	tests/part docs $(MAKE) check-docs

.PHONY: check-docs
check-docs: all
	$(play_docs)
	$(play_demo)
	tests/docs/run build/run/demo/output.log build/run/docs/output.log README.md $(played)
	tests/docs/shell $(MAKE) shell

.PHONY: docs
docs: all ## run the demo and what the pages of docs/ tell to run, and put what they print into README.md and the pages
	$(play_docs)
	$(play_demo)
	tests/docs/run --record build/run/demo/output.log build/run/docs/output.log README.md $(played)

# Git keeps them, as the pages show them: whoever reads them needs no graphviz.
.PHONY: pictures
pictures: ## draw the pictures of docs/ anew, from their sources beside them
	qemu/deps reference
	for source in docs/pictures/*.dot; do \
		dot -Tsvg $$source | sed 's/^<svg /<!-- SPDX-License-Identifier: MIT -->\n&/' >$${source%.dot}.svg; done

.PHONY: reference
reference: $(kernel) ## the reference of the ioctls, the netlink family and the C++ library, as HTML in build/reference
	qemu/deps build guest reference
	docs/reference/build build/kernel/$(KERNEL)/headers $(VERSION) build/reference

# ---- the source

scripts = $(shell grep -rlE "^\#!/bin/(ba)?sh" qemu tests driver debian docs .ci)
cxx := $(wildcard userlib/include/longpin/*.hpp userlib/*/*.[ch]pp tests/*/*.[ch]pp tests/guest/support/*.[ch]pp)
# What is built outside of the tree is built against what is installed, and none of the tree's own builds knows it.
tidied := $(filter-out tests/consumers/%,$(filter %.cpp,$(cxx)))
c := $(wildcard driver/*.[ch] userlib/examples/*.c tests/unit/*.[ch] tests/guest/*.c tests/bench/floor/*.[ch])

.PHONY: lint
lint: user deps-lint ## check style and find mistakes, without running anything
	echo "  LINT    shellcheck, clang-format, checkpatch"
	shellcheck -x -P SCRIPTDIR qemu/common qemu/guest/profile userlib/pinpin/completion.bash $(scripts)
	clang-format --dry-run -Werror $(cxx) $(c)
	qemu/checkpatch driver/*.[ch] uapi/linux/*.h tests/bench/floor/*.[ch]
	tests/named docs/*.md
	echo "  LINT    sparse"
	$(MAKE) sparse
	echo "  LINT    clang-tidy ($(words $(tidied)) files)"
	printf '%s\n' $(tidied) | xargs -P$(shell nproc) -n1 clang-tidy --quiet -p build/user 2>/dev/null

.PHONY: deps-lint
deps-lint:
	qemu/deps build guest lint

.PHONY: sparse
sparse: driver := build/driver/$(KERNEL)-sparse
sparse: $(kernel)
	$(call link,driver,$(driver))
	$(kbuild) C=2 CF=-Wsparse-error modules

.PHONY: format
format: deps-lint ## put the sources into their style
	clang-format -i $(cxx) $(c)

.PHONY: clean
clean: ## remove build/; downloads stay in the cache
	rm -rf build

.PHONY: help
help: ## this list
	sed -n 's/^\([a-z_-]*\):.* ## \(.*\)/  \1\t\2/p' Makefile | expand -t 20
	echo
	echo "  KERNEL=6.1|6.12  the guest's kernel (now $(KERNEL))    ACCEL=auto|kvm|tcg  how to emulate it"
	echo "  DEPS=check       only name missing packages    V=1                 show the commands"
