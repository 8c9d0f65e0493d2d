/* Operations on what is fetched and how: random code, system instructions, segments, other modes,
 * tasks. */
#include "tests/guests/hostile/kinds.h"

#include "tests/guests/hostile/operands.h"
#include "tests/guests/hostile/random.h"
#include "tests/guests/hostile/run.h"

/* In 0F 00 /3. QEMU 7.2 takes a null selector for it, and aborts at the next change of levels. */
#define LTR 3
/* Selectors of task state segments. */
#define FIRST_TASK 0x30u
#define END_TASKS  0x50u

/* Any bytes at all, unprivileged */
void op_code(void)
{
        static const enum mode modes[] = {MODE_64, MODE_COMPAT_32, MODE_COMPAT_16, MODE_16,
                                          MODE_V86};
        enum mode mode = modes[random_one_in(2) ? 0 : random_below(COUNT(modes))];

        begin(mode, 3);
        if (mode >= MODE_32)
                run_page(&run, false); /* the guest itself is kept from it */
        for (unsigned i = 0; i < REGISTERS; i++)
                if (random_one_in(2))
                        run.reg[i] = pick_pointer(mode);
        for (unsigned i = 8 + random_below(48); i; i--)
                byte((unsigned)random_64());
        watch();
        go();
}

/* Virtualization and its neighbours: a guest has none of it */

static const uint8_t system_opcodes[][4] = {
    {3, 0x0f, 0x01, 0xc1}, {3, 0x0f, 0x01, 0xc2}, {3, 0x0f, 0x01, 0xc3}, {3, 0x0f, 0x01, 0xc4},
    {3, 0x0f, 0x01, 0xd4}, {3, 0x0f, 0x01, 0xd8}, {3, 0x0f, 0x01, 0xd9}, {3, 0x0f, 0x01, 0xda},
    {3, 0x0f, 0x01, 0xdb}, {3, 0x0f, 0x01, 0xdc}, {3, 0x0f, 0x01, 0xdd}, {3, 0x0f, 0x01, 0xde},
    {3, 0x0f, 0x01, 0xdf}, {3, 0x0f, 0x01, 0xc0}, {3, 0x0f, 0x01, 0xcf}, {3, 0x0f, 0x01, 0xd7},
    {3, 0x0f, 0x01, 0xee}, {3, 0x0f, 0x01, 0xef}, {3, 0x0f, 0x01, 0xf8}, {3, 0x0f, 0x01, 0xf9},
    {3, 0x0f, 0x01, 0xfa}, {3, 0x0f, 0x01, 0xfb}, {3, 0x0f, 0x01, 0xfc}, {3, 0x0f, 0x01, 0xfd},
    {3, 0x0f, 0x01, 0xfe}, {3, 0x0f, 0x01, 0xff}, {3, 0x0f, 0x01, 0xc8}, {3, 0x0f, 0x01, 0xc9},
    {3, 0x0f, 0x01, 0xd0}, {3, 0x0f, 0x01, 0xd1}, {3, 0x0f, 0x01, 0xd5}, {3, 0x0f, 0x01, 0xd6},
    {2, 0x0f, 0x37, 0},    {2, 0x0f, 0xaa, 0},    {2, 0x0f, 0x33, 0},    {2, 0x0f, 0x08, 0},
    {2, 0x0f, 0x09, 0},    {2, 0x0f, 0x77, 0},    {2, 0x0f, 0x0b, 0},    {2, 0x0f, 0xff, 0},
    {2, 0x0f, 0x31, 0},    {2, 0x0f, 0x05, 0},    {2, 0x0f, 0x07, 0},    {2, 0x0f, 0x34, 0},
    {2, 0x0f, 0x35, 0},    {1, 0xf4, 0, 0},       {1, 0xf1, 0, 0},       {1, 0xce, 0, 0},
    {1, 0x9b, 0, 0},
};

/* With a memory operand: VMCLEAR and the like, INVEPT, INVVPID, INVPCID, XSAVES, descriptor
 * tables... */
static const uint8_t system_groups[][4] = {
    {2, 0x0f, 0xc7, 0},    {2, 0x0f, 0x78, 0},    {2, 0x0f, 0x79, 0}, {3, 0x0f, 0x38, 0x80},
    {3, 0x0f, 0x38, 0x81}, {3, 0x0f, 0x38, 0x82}, {2, 0x0f, 0x00, 0}, {2, 0x0f, 0x02, 0},
    {2, 0x0f, 0x03, 0},    {2, 0x0f, 0xae, 0},
};

void op_system(void)
{
        static const uint8_t prefixes[] = {0x66, 0xf2, 0xf3, 0xf0};
        enum mode mode = pick_mode();

        begin(mode, pick_level(mode));
        run.reg[RDI] = pick_pointer(mode);
        run.reg[RAX] =
            random_one_in(2) ? ARENA_RAM + ARENA_DATA + random_below(4) * 0x800 : run.reg[RAX];
        run.reg[RCX] = random_one_in(2) ? run_pointer(mode, ARENA_DATA) : run.reg[RCX];
        run.reg[RDX] = random_one_in(2) ? run_pointer(mode, ARENA_DATA) : run.reg[RDX];
        if (random_one_in(3))
                byte(prefixes[random_below(sizeof prefixes)]);
        if (random_one_in(3)) {
                unsigned reg;
                const uint8_t *group = system_groups[random_below(COUNT(system_groups))];

                code(group + 1, group[0]);
                reg = random_below(8);
                modrm_di(group[2] || reg != LTR ? reg : 0);
        } else {
                const uint8_t *one = system_opcodes[random_below(COUNT(system_opcodes))];

                code(one + 1, one[0]);
        }
        watch();
        go();
}

/* A code segment to go to. Where the code's offset means something else in another one: none, or
 * the same. */
static unsigned pick_target(void)
{
        enum mode mode = (enum mode)run.mode;
        unsigned target;

        if (mode >= MODE_V86)
                return (unsigned)run.cs;
        if (run.cpl == 0 && mode != MODE_64 && mode != MODE_COMPAT_32)
                return random_one_in(2) ? (unsigned)run.ds : 0x1000 | random_below(0x1000);
        target = random_one_in(2) ? random_below(0x200) : (uint16_t)random_64();
        return target >= FIRST_TASK && target < END_TASKS && !machine_is_amd() ? (unsigned)run.ds
                                                                               : target;
}

static void far_jump(unsigned target)
{
        bool small = run.mode == MODE_COMPAT_16 || run.mode == MODE_16 || run.mode >= MODE_V86;
        uint64_t to = here() + (small ? 5 : 7);

        CODE(0xea, (unsigned)to, (unsigned)to >> 8);
        if (!small)
                CODE((unsigned)to >> 16, (unsigned)to >> 24);
        CODE(target, target >> 8);
}

/* Segments and transfers of control, in every mode */
void op_segments(void)
{
        enum mode mode = pick_mode();
        unsigned reg;

        begin(mode, pick_level(mode));
        run.reg[RAX] = random_one_in(2) ? random_below(0x200) : random_value();
        switch (random_below(8)) {
        case 0: /* MOV to a segment, or MOV CS */
                reg = random_below(64);
                CODE(0x8e, 0xc0 | (stack_is_needed() && reg >> 3 == 2 ? 0 : reg));
                break;
        case 1:
                CODE(0x50, 0x9d); /* PUSH AX, POPF */
                run.reg[RAX] = random_64() & ~(uint64_t)RFLAGS_TF;
                break;
        case 2:
                CODE(0xcd, (unsigned)random_64());
                break;
        case 3: /* RETF to the code's end */
                run.reg[RAX] = pick_target();
                run.reg[RBX] = here() + 4;
                CODE(0x50, 0x53, 0x90, 0xcb);
                break;
        case 4:
                far_jump(pick_target());
                break;
        case 5:
                CODE(0xfa, 0xfb, 0xf4); /* CLI, STI, HLT */
                break;
        case 6: /* SLDT to VERW, of registers */
                reg = 0xc0 | random_below(64);
                if ((reg >> 3 & 7) == LTR)
                        run.reg[reg & 7] = run.ds;
                CODE(0x0f, 0x00, stack_is_needed() && (reg & 7) == RSP ? 0xc0 : reg);
                break;
        default: /* ENTER, with the stack left even */
                CODE(0xc8, (unsigned)random_64() & 0xfe, (unsigned)random_64(),
                     (unsigned)random_64());
                break;
        }
        watch();
        go();
}

/* Values of registers of control where there is no long mode */
void op_legacy(void)
{
        static const enum mode modes[] = {MODE_32, MODE_16, MODE_REAL};
        enum mode mode = modes[random_below(COUNT(modes))];

        begin(mode, 0);
        if (mode != MODE_REAL && random_one_in(2))
                run_page(&run, random_one_in(2));
        run.reg[RDI] = run_pointer(mode, pick_offset());
        switch (random_below(3)) {
        case 0:
                run.reg[RAX] = (pick_cr0(false) & ~0x80000001ull) |
                               (mode == MODE_REAL ? 0 : run.cr0 & 0x80000001);
                CODE(0x0f, 0x22, 0xc0);
                break;
        case 1:
                run.reg[RAX] = (random_64() & ~0x30ull) | run.cr4;
                CODE(0x0f, 0x22, 0xe0);
                break;
        default:
                CODE(0x0f, 0xa2, 0xe4, 0x80, 0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8);
                break;
        }
        memory_instruction();
        watch();
        go();
}

/* A switch of tasks by hardware, four ways */
void op_task(void)
{
        enum mode mode = random_one_in(2) ? MODE_32 : MODE_16;
        unsigned far = random_one_in(2) ? 0xea : 0x9a; /* JMP or CALL */

        begin(mode, 0);
        if (random_one_in(2))
                run_page(&run, random_one_in(2));
        if (random_one_in(4))
                CODE(0xcd, 0x31);
        else if (random_one_in(4))
                CODE(0x9c, 0x58, 0x80, 0xcc, 0x40, 0x50, 0x9d, 0xcf); /* NT set, then IRET */
        else if (mode == MODE_32)
                CODE(far, 0, 0, 0, 0, (unsigned)machine_task_selector & 0xff, 0);
        else
                CODE(far, 0, 0, (unsigned)machine_task_selector & 0xff, 0);
        watch();
        go();
}
