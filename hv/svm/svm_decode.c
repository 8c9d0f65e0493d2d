/* Lengths and operands of intercepted instructions; contract in svm_decode.h. */
#include "hv/svm/svm_decode.h"

#include "hv/instruction.h"
#include "hv/lib/errno.h"
#include "hv/svm/vmcb.h"

#define REX_B           0x01u
#define MODRM_RM        0x07u
#define OPCODES_2       0x0fu
#define OPCODES_2_MODRM 0x01u /* 0F 01 /r: the third byte is a part of the opcode */

/* An exit and the bytes of its instruction after the prefixes. */
struct encoding {
        uint16_t exit_code;
        uint8_t length;
        uint8_t opcode[3];
        bool modrm; /* a ModRM byte follows, which names a register */
};

static const struct encoding encodings[] = {
    {SVM_EXIT_CPUID, 2, {OPCODES_2, 0xa2}, false},
    {SVM_EXIT_MSR, 2, {OPCODES_2, 0x32}, false}, /* RDMSR */
    {SVM_EXIT_MSR, 2, {OPCODES_2, 0x30}, false}, /* WRMSR */
    {SVM_EXIT_HLT, 1, {0xf4}, false},
    {SVM_EXIT_VMMCALL, 3, {OPCODES_2, OPCODES_2_MODRM, 0xd9}, false},
    {SVM_EXIT_XSETBV, 3, {OPCODES_2, OPCODES_2_MODRM, 0xd1}, false},
    {SVM_EXIT_INVD, 2, {OPCODES_2, 0x08}, false},
    {SVM_EXIT_WBINVD, 2, {OPCODES_2, 0x09}, false},
    {SVM_EXIT_READ_CR8, 2, {OPCODES_2, 0x20}, true},
    {SVM_EXIT_WRITE_CR8, 2, {OPCODES_2, 0x22}, true},
};

static bool matches(const struct encoding *e, const uint8_t *code, size_t n)
{
        if (n < (size_t)e->length + e->modrm)
                return false;
        for (unsigned i = 0; i < e->length; i++)
                if (code[i] != e->opcode[i])
                        return false;
        return true;
}

int svm_decode(const uint8_t *code, size_t n, bool wide, uint64_t exit_code,
               struct svm_instruction *out)
{
        struct instruction_prefixes prefixes;
        size_t at = instruction_prefixes(code, n, wide, &prefixes);

        for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
                const struct encoding *e = &encodings[i];
                size_t end = at + e->length + e->modrm;

                if (e->exit_code != exit_code || !matches(e, code + at, n - at) ||
                    end > INSTRUCTION_MAX)
                        continue;
                out->length = (uint8_t)end;
                out->reg = 0;
                if (e->modrm)
                        out->reg =
                            (uint8_t)((code[end - 1] & MODRM_RM) | (prefixes.rex & REX_B) << 3);
                return 0;
        }
        return -EINVAL;
}
