/* The MMIO decoder (guest/mem/decode.c): one byte for the mode, then the instruction. */
#include "guest/mem/decode.h"
#include "hv/lib/errno.h"
#include "tests/fuzz/fuzz.h"

static void check(const struct mmio_op *op, size_t len)
{
        uint64_t regs[REG_COUNT], before[REG_COUNT];

        DEMAND(op->len >= 2 && op->len <= len && op->len <= INSTRUCTION_MAX);
        DEMAND(op->size == 1 || op->size == 2 || op->size == 4 || op->size == 8);
        DEMAND(op->reg < REG_COUNT && (op->immediate || op->reg != REG_RSP));
        DEMAND(op->write || op->reg_size >= op->size);
        memset(regs, 0xa5, sizeof regs);
        memcpy(before, regs, sizeof regs);
        if (op->write) {
                uint64_t value = mmio_op_value(op, regs);

                DEMAND(op->size == 8 || value >> 8 * op->size == 0);
                return;
        }
        mmio_op_store(op, regs, UINT64_MAX);
        for (unsigned i = 0; i < REG_COUNT; i++)
                DEMAND(i == op->reg || regs[i] == before[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct fuzz_input in = {data, size};
        unsigned mode = (unsigned)fuzz_take(&in, 1);
        struct mmio_op op;
        size_t len;
        uint8_t *code = fuzz_block(&in, 20, &len);
        int err = mmio_decode(code, len, mode & 1, mode & 2, &op);

        DEMAND(err == 0 || err == -ENOTSUP || err == -EINVAL);
        if (!err)
                check(&op, len);
        free(code);
        return 0;
}
