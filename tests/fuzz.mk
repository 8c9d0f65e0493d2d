# Fuzzing: every tests/fuzz/fuzz_*.c is a libFuzzer target, linked with the hosted build of the tree by clang under
# ASan and UBSan. Inputs worth keeping are committed in tests/fuzz/corpus/NAME/, words for it in tests/fuzz/NAME.dict.

FUZZ_CC := clang
FUZZ_SECONDS ?= 600
FUZZ_CFLAGS := -std=gnu11 -g -O1 -I. -Wall -Wextra -Wshadow -Wundef -Werror -fno-omit-frame-pointer \
	-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
# The hosted tree with the fuzzer's own log and without the model of power cuts.
FUZZ_SRCS := $(filter-out tests/unit/%,$(HOSTED_SRCS)) tests/unit/fake_virt.c tests/unit/virtio_driver.c \
	$(filter-out tests/fuzz/fuzz_%,$(wildcard tests/fuzz/*.c))
FUZZ_OBJS := $(FUZZ_SRCS:%.c=build/fuzz/obj/%.o)

build/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -MMD -c $< -o $@

build/fuzz/libhosted.a: $(FUZZ_OBJS) $(DSDT_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

build/fuzz/fuzz_%: build/fuzz/obj/tests/fuzz/fuzz_%.o build/fuzz/libhosted.a
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer $^ -o $@

.PHONY: fuzz fuzz-programs fuzz-corpus
fuzz-programs: $(FUZZ_TARGETS)
	@:

# All targets for FUZZ_SECONDS together, two at a time; ONLY=PATTERN picks some by name, SEED=N repeats a run.
fuzz: | deps
	$(Q)$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j2) fuzz-programs
	$(Q)python3 -B -m tests.fuzz.run --seconds $(FUZZ_SECONDS) --only "$(ONLY)"

# Commit what the last runs found: the smallest set of inputs that reaches as much code.
fuzz-corpus: fuzz-programs
	$(Q)python3 -B -m tests.fuzz.run --merge --only "$(ONLY)"

.PRECIOUS: build/fuzz/obj/%.o
-include $(FUZZ_OBJS:.o=.d) $(wildcard build/fuzz/obj/tests/fuzz/*.d)
