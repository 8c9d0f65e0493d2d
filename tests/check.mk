# `make check`: style, static analysis, headers alone, layers. Each check prints one line when all is well.

CHECK_DIRS := $(IMAGE_DIRS) guest guest/linux guest/admin/nvpool tests/unit tests/bench tests/bench/peer-kvm \
	tests/fuzz tests/machine tests/guests/hostile
CHECK_C := $(sort $(wildcard $(CHECK_DIRS:%=%/*.c)))
CHECK_H := $(sort $(wildcard $(CHECK_DIRS:%=%/*.h)))
CHECK_ASM := $(sort $(wildcard boot/*.asm hv/trap/*.asm hv/vmx/*.asm hv/svm/*.asm tests/firmware/*.asm tests/guests/*.asm tests/bench/*.asm))
CHECK_PY := $(sort $(wildcard tests/*.py tests/*/*.py))
CHECK_JOBS ?= 2
CHECK_C += $(EFI_TEST)

# Code of the image is compiled freestanding, tests and guests' programs hosted.
CHECK_HOSTED := guest/linux/% guest/admin/nvpool/% tests/%
CHECK_HOSTED_C := $(filter-out $(EFI_TEST),$(filter $(CHECK_HOSTED),$(CHECK_C)))
CHECK_HOSTED_H := $(filter $(CHECK_HOSTED),$(CHECK_H))
CHECK_IMAGE_C := $(filter-out $(CHECK_HOSTED) $(EFI_ONLY),$(CHECK_C))
CHECK_IMAGE_H := $(filter-out $(CHECK_HOSTED) $(EFI_ONLY_H),$(CHECK_H))
CHECK_EFI_C := $(EFI_ONLY) $(EFI_TEST)
TIDY_IMAGE_FLAGS := -std=gnu11 -ffreestanding -mno-red-zone -mgeneral-regs-only -Wall -Wextra -I.
TIDY_HOSTED_FLAGS := -std=gnu11 -Wall -Wextra -I.
# libpmemobj's macros dereference what they have looked up without a check; clang-tidy sees that as ours.
CHECK_TIDY_HOSTED := $(filter-out guest/linux/pf_bank.c,$(CHECK_HOSTED_C))

CPPCHECK_FLAGS := --quiet --error-exitcode=1 --std=c11 --platform=unix64 --inline-suppr -I. -j$(CHECK_JOBS) \
	--enable=warning,performance,portability --suppress=missingIncludeSystem \
	--suppress=comparePointers --suppress=arrayIndexOutOfBoundsCond:tests/*

.PHONY: check check-format check-headers check-asm check-python check-layers check-circles check-docs check-cppcheck check-tidy
check: check-format check-layers check-circles check-docs check-headers check-asm check-python check-cppcheck check-tidy

check-format: | deps
	$(Q)clang-format --dry-run -Werror $(CHECK_C) $(CHECK_H)
	@echo "check: format: $(words $(CHECK_C) $(CHECK_H)) files"

check-layers: | deps
	@printf 'check: '
	$(Q)python3 -B tests/layers.py

check-docs: | deps
	@printf 'check: '
	$(Q)python3 -B tests/docs.py

check-circles: $(HV_OBJS) | deps
	@printf 'check: '
	$(Q)python3 -B -m tests.circles $(HV_OBJS)

# A header must compile as the first line of a file: it includes all it needs.
check-headers: | deps
	$(Q)printf '%s\n' $(CHECK_IMAGE_H) | xargs -P$(CHECK_JOBS) -n1 sh -c \
		'$(CC) $(CFLAGS) -fsyntax-only -include "$$0" -x c /dev/null'
	$(Q)printf '%s\n' $(CHECK_HOSTED_H) | xargs -P$(CHECK_JOBS) -n1 sh -c \
		'$(CC) -std=gnu11 -Wall -Wextra -Wundef -Werror -I. -fsyntax-only -include "$$0" -x c /dev/null'
	$(Q)printf '%s\n' $(EFI_ONLY_H) | xargs -P$(CHECK_JOBS) -n1 sh -c \
		'$(CC) $(EFI_CFLAGS) -fsyntax-only -include "$$0" -x c /dev/null'
	@echo "check: headers alone: $(words $(CHECK_H))"

# NASM removes its output file after an error, so the output is never /dev/null. Off is a warning that NASM 2.16
# gives for its own macro alignb. The firmware gets a table of one row in place of the builder's.
check-asm: build/gen/offsets.inc | deps
	@mkdir -p build/check
	$(Q)echo 'range 0, 4096, 7' > build/check/table.inc
	$(Q)for f in $(CHECK_ASM); do \
		format=elf64; case $$f in tests/*) format=bin;; esac; \
		$(NASM) -f $$format -w+all -w-unknown-warning -Werror -i tests/guests/ \
			-DPAYLOAD='"LICENSE"' -DTABLE='"build/check/table.inc"' $$f -o build/check/assembled || exit 1; \
	done
	@echo "check: assembly without warnings: $(words $(CHECK_ASM)) files"

check-python: | deps
	$(Q)python3 -B -c 'import ast, sys; [ast.parse(open(f).read(), f) for f in sys.argv[1:]]' $(CHECK_PY)
	@echo "check: python: $(words $(CHECK_PY)) files compile"

check-cppcheck: | deps
	$(Q)cppcheck $(CPPCHECK_FLAGS) $(CHECK_C)
	@echo "check: cppcheck: $(words $(CHECK_C)) files"

# Quiet but for findings: clang-tidy counts what it suppressed on standard error.
tidy = printf '%s\n' $(1) | xargs -P$(CHECK_JOBS) -n4 sh -c \
	'clang-tidy --quiet $(3) "$$0" "$$@" -- $(2) 2>/dev/null'
check-tidy: | deps
	$(Q)status=0; $(call tidy,$(CHECK_IMAGE_C),$(TIDY_IMAGE_FLAGS)) || status=1; \
	$(call tidy,$(CHECK_EFI_C),$(TIDY_IMAGE_FLAGS) $(EFI_HEADERS)) || status=1; \
	$(call tidy,$(CHECK_TIDY_HOSTED),$(TIDY_HOSTED_FLAGS)) || status=1; \
	exit $$status
	@echo "check: clang-tidy: $(words $(CHECK_IMAGE_C) $(CHECK_EFI_C) $(CHECK_TIDY_HOSTED)) files"

# Clang's analyzer follows all paths through a function, which takes minutes; tests are run under sanitizers instead. What
# is off dislikes memcpy and the order of members, or clang 14 gets it wrong (va_list).
ANALYZER := --checks=-*,clang-analyzer-*,-clang-analyzer-optin.performance.Padding,-clang-analyzer-security.insecureAPI.*,-clang-analyzer-valist.Uninitialized
.PHONY: analyze
analyze: | deps
	$(Q)status=0; $(call tidy,$(CHECK_IMAGE_C),$(TIDY_IMAGE_FLAGS),$(ANALYZER)) || status=1; \
	$(call tidy,$(CHECK_EFI_C),$(TIDY_IMAGE_FLAGS) $(EFI_HEADERS),$(ANALYZER)) || status=1; \
	$(call tidy,$(filter-out tests/%,$(CHECK_TIDY_HOSTED)),$(TIDY_HOSTED_FLAGS),$(ANALYZER)) || status=1; \
	exit $$status
	@echo "analyze: $(words $(CHECK_IMAGE_C) $(CHECK_EFI_C)) files of the image, $(words $(filter-out tests/%,$(CHECK_TIDY_HOSTED))) programs"
