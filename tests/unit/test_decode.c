/* Tests of the MMIO decoder: a table of encodings, truncation, the registers' rules, and random
 * bytes. */
#include "guest/mem/decode.h"
#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "tests/unit/unit.h"

#define MODE_64 true, true

struct expected {
        const char *bytes; /* hexadecimal */
        uint8_t size, reg_size, reg;
        char kind; /* r read, s sign-extending read, w write, i write of imm; H in place of r/w:
                      high byte */
        uint64_t imm;
};

static size_t from_hex(const char *hex, uint8_t *out)
{
        size_t n = 0;

        for (; hex[0] && hex[1]; hex += hex[2] == ' ' ? 3 : 2) {
                char pair[3] = {hex[0], hex[1], 0};

                out[n++] = (uint8_t)strtoul(pair, NULL, 16);
        }
        return n;
}

/* Encodings as GNU as makes them. */
static const struct expected table_64[] = {
    {"89 07", 4, 4, REG_RAX, 'w', 0},                         /* mov %eax,(%rdi) */
    {"8b 07", 4, 4, REG_RAX, 'r', 0},                         /* mov (%rdi),%eax */
    {"48 89 4f 08", 8, 8, REG_RCX, 'w', 0},                   /* mov %rcx,8(%rdi) */
    {"66 89 90 00 10 00 00", 2, 2, REG_RDX, 'w', 0},          /* mov %dx,0x1000(%rax) */
    {"88 1e", 1, 1, REG_RBX, 'w', 0},                         /* mov %bl,(%rsi) */
    {"88 3e", 1, 1, REG_RBX, 'W', 0},                         /* mov %bh,(%rsi) */
    {"8a 26", 1, 1, REG_RAX, 'R', 0},                         /* mov (%rsi),%ah */
    {"40 88 3e", 1, 1, REG_RDI, 'w', 0},                      /* mov %dil,(%rsi) */
    {"44 8a 3e", 1, 1, REG_R15, 'r', 0},                      /* mov (%rsi),%r15b */
    {"44 89 04 24", 4, 4, REG_R8, 'w', 0},                    /* mov %r8d,(%rsp) */
    {"89 84 8d 78 56 34 12", 4, 4, REG_RAX, 'w', 0},          /* mov %eax,d32(%rbp,%rcx,4) */
    {"8b 05 00 00 00 00", 4, 4, REG_RAX, 'r', 0},             /* mov 0(%rip),%eax */
    {"8b 04 25 20 00 e0 fe", 4, 4, REG_RAX, 'r', 0},          /* mov 0xfee00020,%eax */
    {"41 8b 45 00", 4, 4, REG_RAX, 'r', 0},                   /* mov 0(%r13),%eax */
    {"41 8b 04 24", 4, 4, REG_RAX, 'r', 0},                   /* mov (%r12),%eax */
    {"c7 07 78 56 34 12", 4, 0, 0, 'i', 0x12345678},          /* movl $,(%rdi) */
    {"66 c7 07 34 92", 2, 0, 0, 'i', 0x9234},                 /* movw $,(%rdi) */
    {"c6 47 01 80", 1, 0, 0, 'i', 0x80},                      /* movb $,1(%rdi) */
    {"48 c7 07 ff ff ff ff", 8, 0, 0, 'i', UINT64_MAX},       /* movq $-1,(%rdi) */
    {"66 48 c7 07 ff ff ff 7f", 8, 0, 0, 'i', 0x7fffffff},    /* REX.W beats 66 */
    {"0f b6 07", 1, 4, REG_RAX, 'r', 0},                      /* movzbl (%rdi),%eax */
    {"66 0f b6 0f", 1, 2, REG_RCX, 'r', 0},                   /* movzbw (%rdi),%cx */
    {"48 0f b7 0f", 2, 8, REG_RCX, 'r', 0},                   /* movzwq (%rdi),%rcx */
    {"0f be 17", 1, 4, REG_RDX, 's', 0},                      /* movsbl (%rdi),%edx */
    {"4c 0f bf 07", 2, 8, REG_R8, 's', 0},                    /* movswq (%rdi),%r8 */
    {"48 63 07", 4, 8, REG_RAX, 's', 0},                      /* movslq (%rdi),%rax */
    {"a0 88 77 66 55 44 33 22 11", 1, 1, REG_RAX, 'r', 0},    /* movabs 0x..,%al */
    {"48 a3 88 77 66 55 44 33 22 11", 8, 8, REG_RAX, 'w', 0}, /* movabs %rax,0x.. */
    {"67 a1 44 33 22 11", 4, 4, REG_RAX, 'r', 0},             /* addr32 mov 0x..,%eax */
    {"65 8b 07", 4, 4, REG_RAX, 'r', 0},                      /* mov %gs:(%rdi),%eax */
    {"67 8b 07", 4, 4, REG_RAX, 'r', 0},                      /* mov (%edi),%eax */
    {"48 66 89 07", 2, 2, REG_RAX, 'w', 0},                   /* REX not next to the opcode */
};

static const struct expected table_32[] = {
    {"a3 44 33 22 11", 4, 4, REG_RAX, 'w', 0},       /* mov %eax,0x11223344 */
    {"67 a1 22 11", 4, 4, REG_RAX, 'r', 0},          /* addr16 mov 0x1122,%eax */
    {"66 8b 0d 44 33 22 11", 2, 2, REG_RCX, 'r', 0}, /* mov 0x11223344,%cx */
    {"8b 7c 24 08", 4, 4, REG_RDI, 'r', 0},          /* mov 8(%esp),%edi */
    {"88 2f", 1, 1, REG_RCX, 'W', 0},                /* mov %ch,(%edi) */
};

static void check_entry(const struct expected *e, bool l)
{
        uint8_t bytes[32], exact[16];
        size_t n = from_hex(e->bytes, bytes);
        uint64_t regs[REG_COUNT] = {0};
        struct mmio_op op;

        memset(bytes + n, 0x90, sizeof(bytes) - n);
        if (mmio_decode(bytes, sizeof(bytes), l, true, &op) != 0) {
                printf("refused: %s\n", e->bytes);
                CHECK(false);
                return;
        }
        CHECK_EQ(op.len, n);
        CHECK_EQ(op.size, e->size);
        CHECK_EQ(op.write, e->kind == 'w' || e->kind == 'W' || e->kind == 'i');
        CHECK_EQ(op.immediate, e->kind == 'i');
        CHECK_EQ(op.sign_extend, e->kind == 's');
        CHECK_EQ(op.high_byte, e->kind == 'W' || e->kind == 'R');
        if (e->kind == 'i') {
                CHECK(mmio_op_value(&op, regs) == e->imm);
        } else {
                CHECK_EQ(op.reg, e->reg);
                CHECK_EQ(op.reg_size, e->reg_size);
        }
        /* Exactly these bytes do; with any less it is refused. ASan watches the end. */
        for (size_t len = 0; len <= n; len++) {
                memcpy(exact + sizeof(exact) - len, bytes, len);
                CHECK_EQ(mmio_decode(exact + sizeof(exact) - len, len, l, true, &op),
                         len == n ? 0 : -EINVAL);
        }
}

static void test_table(void)
{
        for (size_t i = 0; i < ARRAY_LEN(table_64); i++)
                check_entry(&table_64[i], true);
        for (size_t i = 0; i < ARRAY_LEN(table_32); i++)
                check_entry(&table_32[i], false);
}

static void test_refused(void)
{
        static const struct {
                const char *bytes;
                int err;
        } table[] = {
            {"89 c7", -EINVAL},              /* mov %eax,%edi: no memory */
            {"f0 89 07", -EINVAL},           /* lock mov */
            {"f3 a4", -ENOTSUP},             /* rep movsb */
            {"a4", -ENOTSUP},                /* movsb */
            {"ab", -ENOTSUP},                /* stos */
            {"f3 89 07", -ENOTSUP},          /* xrelease mov */
            {"01 07", -ENOTSUP},             /* add */
            {"c7 0f 00 00 00 00", -ENOTSUP}, /* C7 /1 */
            {"89 27", -ENOTSUP},             /* mov %esp,(%rdi) */
            {"63 07", -ENOTSUP},             /* movslq without REX.W */
            {"0f c7 0f", -ENOTSUP},          /* cmpxchg8b */
            {"8e 07", -ENOTSUP},             /* mov to a segment */
            {"66 66 66 66 66 66 66 66 66 66 66 66 66 66 89 07", -EINVAL}, /* 16 bytes */
        };
        static const uint8_t mov[] = {0x67, 0x8b, 0x07};
        struct mmio_op op;
        uint8_t bytes[16];

        for (size_t i = 0; i < ARRAY_LEN(table); i++) {
                size_t n = from_hex(table[i].bytes, bytes);

                CHECK_EQ(mmio_decode(bytes, n, MODE_64, &op), table[i].err);
        }
        CHECK_EQ(mmio_decode(mov, sizeof(mov), false, false, &op), -ENOTSUP);
        CHECK_EQ(mmio_decode(mov, sizeof(mov), false, true, &op), -ENOTSUP);
        /* The longest there is: 13 prefixes and a 2-byte move. */
        from_hex("66 66 66 66 66 66 66 66 66 66 66 66 66 89 07", bytes);
        CHECK_EQ(mmio_decode(bytes, 15, MODE_64, &op), 0);
        CHECK_EQ(op.len, 15);
}

static void store(const char *hex, uint64_t before, uint64_t value, uint64_t after, unsigned reg)
{
        uint64_t regs[REG_COUNT];
        struct mmio_op op;
        uint8_t bytes[16];

        for (unsigned i = 0; i < REG_COUNT; i++)
                regs[i] = before;
        CHECK_EQ(mmio_decode(bytes, from_hex(hex, bytes), MODE_64, &op), 0);
        mmio_op_store(&op, regs, value);
        for (unsigned i = 0; i < REG_COUNT; i++)
                CHECK(regs[i] == (i == reg ? after : before));
}

static void test_store(void)
{
        const uint64_t b = 0x1122334455667788, v = 0xffeeddccbbaa9985;

        store("8b 0f", b, v, 0xbbaa9985, REG_RCX);
        store("48 8b 0f", b, v, v, REG_RCX);
        store("66 8b 0f", b, v, 0x1122334455669985, REG_RCX);
        store("8a 0f", b, v, 0x1122334455667785, REG_RCX);
        store("8a 2f", b, v, 0x1122334455668588, REG_RCX);
        store("0f b6 0f", b, v, 0x85, REG_RCX);
        store("66 0f b6 0f", b, v, 0x1122334455660085, REG_RCX);
        store("0f be 0f", b, v, 0xffffff85, REG_RCX);
        store("66 0f be 0f", b, v, 0x112233445566ff85, REG_RCX);
        store("48 0f be 0f", b, v, 0xffffffffffffff85, REG_RCX);
        store("48 0f bf 0f", b, 0x7fff, 0x7fff, REG_RCX);
        store("48 63 0f", b, v, 0xffffffffbbaa9985, REG_RCX);
}

static void test_value(void)
{
        static const struct {
                const char *hex;
                uint64_t value;
        } table[] = {{"89 0f", 0x55667788},
                     {"48 89 0f", 0x1122334455667788},
                     {"66 89 0f", 0x7788},
                     {"88 0f", 0x88},
                     {"88 2f", 0x77}};
        uint64_t regs[REG_COUNT] = {[REG_RCX] = 0x1122334455667788};
        struct mmio_op op;
        uint8_t bytes[16];

        for (size_t i = 0; i < ARRAY_LEN(table); i++) {
                CHECK_EQ(mmio_decode(bytes, from_hex(table[i].hex, bytes), MODE_64, &op), 0);
                CHECK(mmio_op_value(&op, regs) == table[i].value);
        }
}

/* Random bytes: nothing outside them is read, and what is understood is well-formed. */
static void test_random(void)
{
        static const uint8_t likely[] = {0x66, 0x67, 0x48, 0x41, 0x88, 0x89, 0x8a, 0x8b, 0xa0,
                                         0xa3, 0xc6, 0xc7, 0x0f, 0xb6, 0xbf, 0x63, 0x65, 0x04};
        uint64_t rng = unit_seed();
        unsigned understood = 0;

        for (unsigned step = 0; step < 500000; step++) {
                size_t len = unit_random(&rng) % 18;
                uint8_t *bytes = malloc(len ? len : 1);
                uint64_t regs[REG_COUNT] = {0};
                struct mmio_op op;

                if (bytes == NULL)
                        abort();
                for (size_t i = 0; i < len; i++)
                        bytes[i] = unit_random(&rng) % 2
                                       ? likely[unit_random(&rng) % sizeof(likely)]
                                       : (uint8_t)unit_random(&rng);
                if (mmio_decode(bytes, len, unit_random(&rng) & 1, unit_random(&rng) & 1, &op) ==
                    0) {
                        understood++;
                        CHECK(op.len >= 2 && op.len <= len && op.len <= INSTRUCTION_MAX);
                        CHECK(op.size == 1 || op.size == 2 || op.size == 4 || op.size == 8);
                        CHECK(op.reg < REG_COUNT && op.reg != REG_RSP);
                        if (op.write)
                                (void)mmio_op_value(&op, regs);
                        else
                                mmio_op_store(&op, regs, UINT64_MAX);
                        CHECK(op.immediate || op.write || op.reg_size >= op.size);
                }
                free(bytes);
        }
        CHECK(understood > 10000);
}

int main(void)
{
        RUN(test_table);
        RUN(test_refused);
        RUN(test_store);
        RUN(test_value);
        RUN(test_random);
        return unit_done();
}
