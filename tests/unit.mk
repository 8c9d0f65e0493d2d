# Hosted unit tests: every tests/unit/test_*.c is a program linked with the hosted build of the tree
# (all C files but those that only make sense on bare metal), under ASan and UBSan.

HOSTED_SRCS := $(filter-out hv/% boot/main.c $(EFI_ONLY) mm/pool/pm_native.c drivers/lapic.c,$(IMAGE_SRCS)) hv/lib/format.c \
	hv/vmx/vmx_caps.c $(wildcard hv/vmx/vmx_check*.c) \
	hv/features.c hv/instruction.c hv/random.c hv/trap/mce.c hv/trap/mce_decode.c hv/safety/mitigate.c hv/safety/mitigate_plan.c hv/svm/svm_caps.c hv/svm/svm_check.c hv/svm/svm_decode.c hv/svm/svm_events.c \
	$(filter-out tests/unit/test_%,$(wildcard tests/unit/*.c))
HOSTED_CFLAGS := -std=gnu11 -g -O1 -I. -Wall -Wextra -Wshadow -Wundef -Werror \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
HOSTED_OBJS := $(HOSTED_SRCS:%.c=build/hosted/%.o)
UNIT_TESTS := $(patsubst tests/unit/%.c,build/unit/%,$(wildcard tests/unit/test_*.c))

build/hosted/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(HOSTED_CFLAGS) -MMD -c $< -o $@

build/hosted/libhosted.a: $(HOSTED_OBJS)
	$(Q)rm -f $@ && ar rcs $@ $^

build/unit/%: build/hosted/tests/unit/%.o build/hosted/libhosted.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(HOSTED_CFLAGS) $(filter %.o,$^) $(filter %.a,$^) -o $@

# The real primitives in place of the model.
build/unit/test_pm_native: build/hosted/mm/pool/pm_native.o

.PHONY: unit-programs
unit-programs: $(UNIT_TESTS)
	@:

# The pool's tests of size: the same programs, optimised and without sanitizers.
HEAVY_SRCS := $(wildcard mm/pool/pool*.c) mm/pool/crc32c.c hv/lib/format.c \
	$(addprefix tests/unit/,pm_model.c pool_cut.c pool_scenes.c unit.c)
HEAVY_TESTS := build/heavy/test_pool_crash build/heavy/test_pool_damage

build/heavy/test_pool_%: tests/unit/test_pool_%.c $(HEAVY_SRCS) $(wildcard mm/*.h mm/pool/*.h tests/unit/*.h)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -g -O2 -I. -Wall -Wextra -Wshadow -Wundef -Werror $< $(HEAVY_SRCS) -o $@

# Two jobs, unless make was told a number.
unit:
	$(Q)$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j2) unit-programs
	$(Q)tests/unit/run.sh $(UNIT_TESTS)

.PRECIOUS: build/hosted/%.o
-include $(HOSTED_OBJS:.o=.d) build/hosted/mm/pool/pm_native.d $(wildcard build/hosted/tests/unit/*.d)
