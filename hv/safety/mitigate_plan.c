/* What is done about weaknesses of CPUs; contract in mitigate_plan.h. */
#include "hv/safety/mitigate_plan.h"

#define FAMILY_ZEN3 0x19u

/* What is asked of a CPU; FACTS are answers that no single word of it gives. */
enum word { FACTS, L7_EBX, L7_EDX, L7_2_EDX, X8_EBX, X21_EAX, X21_ECX, CAPS, MCU_OPT, WORDS };

/* Bits of a word that a CPU has when all are set, and how people are told of them. */
struct bits {
        enum word word;
        uint64_t mask;
        const char *name;
};

static const struct bits avx2 = {L7_EBX, 1u << 5, "CPUID.7 EBX 5: no gathers"};
static const struct bits rtm = {L7_EBX, 1u << 11, "CPUID.7 EBX 11: no TSX"};
static const struct bits md_clear = {L7_EDX, 1u << 10, "CPUID.7 EDX 10"};
static const struct bits intel_ibpb = {L7_EDX, 1u << 26, "CPUID.7 EDX 26"}; /* and IBRS */
static const struct bits intel_stibp = {L7_EDX, 1u << 27, "CPUID.7 EDX 27"};
static const struct bits l1d_flush = {L7_EDX, 1u << 28, "CPUID.7 EDX 28"};
static const struct bits bhi_dis_s = {L7_2_EDX, 1u << 4, "CPUID.(7,2) EDX 4"};
static const struct bits bhi_dis_s_is = {L7_2_EDX, 1u << 4, "CPUID.(7,2) EDX 4: later CPUs"};
static const struct bits amd_ibpb = {X8_EBX, 1u << 12, "CPUID.80000008h EBX 12"};
static const struct bits amd_ibrs = {X8_EBX, 1u << 14 | 1u << 16,
                                     "CPUID.80000008h EBX 14, 16"}; /* may stay set */
static const struct bits amd_stibp = {X8_EBX, 1u << 15, "CPUID.80000008h EBX 15"};
static const struct bits amd_ssb_no = {X8_EBX, 1u << 26, "no foreign code in the hypervisor"};
static const struct bits btc_no = {X8_EBX, 1u << 29, "CPUID.80000008h EBX 29"};
static const struct bits verw_clears = {X21_EAX, 1u << 5, "CPUID.80000021h EAX 5"};
static const struct bits auto_ibrs = {X21_EAX, 1u << 8, "CPUID.80000021h EAX 8"};
static const struct bits ibpb_brtype = {
    X21_EAX, 1u << 28, "CPUID.80000021h EAX 28"}; /* forgets the branch's kind too */
static const struct bits srso_no = {X21_EAX, 1u << 29, "CPUID.80000021h EAX 29"};
static const struct bits reduce = {X21_EAX, 1u << 31, "CPUID.80000021h EAX 31"};
static const struct bits tsa_no = {X21_ECX, 3u << 1,
                                   "CPUID.80000021h ECX 1, 2"}; /* of store queue and L1 cache */
static const struct bits rdcl_no = {CAPS, 1ull << 0, "ARCH_CAPABILITIES 0"};
static const struct bits ibrs_all = {CAPS, 1ull << 1, "ARCH_CAPABILITIES 1: IBRS is not enhanced"};
static const struct bits skip_l1d = {CAPS, 1ull << 3,
                                     "ARCH_CAPABILITIES 3"}; /* a hypervisor above flushes */
static const struct bits intel_ssb_no = {CAPS, 1ull << 4, "no foreign code in the hypervisor"};
static const struct bits mds_no = {CAPS, 1ull << 5, "ARCH_CAPABILITIES 5"};
static const struct bits pages_no = {CAPS, 1ull << 6, "ARCH_CAPABILITIES 6"};
static const struct bits tsx_ctrl = {CAPS, 1ull << 7, "ARCH_CAPABILITIES 7"};
static const struct bits taa_no = {CAPS, 1ull << 8, "ARCH_CAPABILITIES 8"};
static const struct bits mmio_no = {CAPS, 7ull << 13,
                                    "ARCH_CAPABILITIES 13 to 15"}; /* SBDR_SSDP, FBSDP, PSDP */
static const struct bits fb_clear = {CAPS, 1ull << 17, "ARCH_CAPABILITIES 17"};
static const struct bits bhi_no = {CAPS, 1ull << 20, "ARCH_CAPABILITIES 20"};
static const struct bits gds_ctrl = {CAPS, MITIGATE_CAPS_GDS_CTRL, "ARCH_CAPABILITIES 25"};
static const struct bits gds_no = {CAPS, 1ull << 26, "ARCH_CAPABILITIES 26"};
static const struct bits rfds_no = {CAPS, 1ull << 27, "ARCH_CAPABILITIES 27"};
static const struct bits rfds_clear = {CAPS, 1ull << 28, "ARCH_CAPABILITIES 28"};
static const struct bits its_no = {CAPS, 1ull << 62, "ARCH_CAPABILITIES 62"};
static const struct bits gds_locked = {MCU_OPT, MCU_OPT_GDS_LOCK, ""};
static const struct bits gds_left_open = {MCU_OPT, MCU_OPT_GDS_LOCK | MCU_OPT_GDS_OFF, ""};
static const struct bits always = {FACTS, 0, ""};
static const struct bits pages_anyway = {FACTS, 0, "ARCH_CAPABILITIES 6"};
static const struct bits stores_anyway = {FACTS, 0, "no foreign code in the hypervisor"};
static const struct bits no_safe_places = {FACTS, 1u << 0, "ARCH_CAPABILITIES 62"}; /* never set */
static const struct bits one_thread = {FACTS, 1u << 1, "CPUID.1 EDX 28: one thread"};
static const struct bits zen3 = {FACTS, 1u << 2, "AMD's family 19h alone"};
static const struct bits zen3_up = {FACTS, 1u << 3, "AMD's family 19h and later"};
static const struct bits enhanced_ibrs = {FACTS, 1u << 4, "CPUID.7 EDX 26, ARCH_CAPABILITIES 1"};
static const struct bits brtype_too = {FACTS, 1u << 5, "CPUID.80000021h EAX 28"};
static const struct bits taa_clears = {FACTS, 1u << 6, "CPUID.7 EDX 10"};
static const struct bits mds_clears = {FACTS, 1u << 7,
                                       "CPUID.7 EDX 10, 28"}; /* the fill buffers too */
static const struct bits gds_can = {FACTS, 1u << 8, "ARCH_CAPABILITIES 25"};

enum vendor { INTEL = 1, AMD = 2, ANY = INTEL | AMD };

/* What says that a CPU is safe from a weakness: that it has the bits, or that it lacks them. */
static const struct safe {
        enum mitigate_what what;
        enum vendor vendor;
        bool has;
        const struct bits *bits;
} safe[] = {
    {MITIGATE_HISTORY, INTEL, true, &bhi_no},   {MITIGATE_RETBLEED, AMD, true, &btc_no},
    {MITIGATE_RETBLEED, AMD, true, &zen3_up},   {MITIGATE_SRSO, AMD, true, &srso_no},
    {MITIGATE_THREADS, ANY, true, &one_thread}, {MITIGATE_L1TF, INTEL, true, &rdcl_no},
    {MITIGATE_L1TF, INTEL, true, &skip_l1d},    {MITIGATE_MDS, INTEL, true, &mds_no},
    {MITIGATE_TAA, INTEL, true, &taa_no},       {MITIGATE_TAA, INTEL, false, &rtm},
    {MITIGATE_MMIO, INTEL, true, &mmio_no},     {MITIGATE_RFDS, INTEL, true, &rfds_no},
    {MITIGATE_GDS, INTEL, true, &gds_no},       {MITIGATE_GDS, INTEL, false, &avx2},
    {MITIGATE_TSA, AMD, false, &zen3},          {MITIGATE_TSA, AMD, true, &tsa_no},
    {MITIGATE_ITS, INTEL, true, &its_no},       {MITIGATE_ITS, INTEL, false, &ibrs_all},
    {MITIGATE_ITS, INTEL, true, &bhi_dis_s_is}, {MITIGATE_PAGES, INTEL, true, &pages_no},
    {MITIGATE_STORES, AMD, true, &amd_ssb_no},  {MITIGATE_STORES, INTEL, true, &intel_ssb_no},
};

/* What the plan is to do where a measure is active. */
#define DO_IBRS       (1u << 0)
#define DO_AUTO_IBRS  (1u << 1)
#define DO_STIBP      (1u << 2)
#define DO_BHI        (1u << 3)
#define DO_IBPB       (1u << 4)
#define DO_IBPB_EXIT  (1u << 5)
#define DO_REDUCE     (1u << 6)
#define DO_L1D        (1u << 7)
#define DO_VERW       (1u << 8)
#define DO_VERW_L1D   (1u << 9) /* but where L1D is flushed: that clears buffers, not registers */
#define DO_TSX_OFF    (1u << 10)
#define DO_GDS_ON     (1u << 11)
#define DO_SMALL_CODE (1u << 12)
#define DO_LOCKED     (1u << 13) /* mitigations=off does not end it */
#define DO_NOT        (1u << 14) /* the hypervisor needs no measure */

/* What is done about a weakness that the CPU is not safe from: the first row whose condition holds
 * decides, and is possible if the CPU has the bits of `with`. */
static const struct measure {
        enum mitigate_what what;
        enum vendor vendor;
        const struct bits *when, *with;
        uint32_t does;
        const char *text;
} measures[] = {
    /* IBRS that is set once protects only where the CPU says so; written at each exit it always
     * does. Guests run with it, as with BHI_DIS_S. */
    {MITIGATE_BRANCHES, AMD, &auto_ibrs, &auto_ibrs, DO_AUTO_IBRS, "automatic IBRS"},
    {MITIGATE_BRANCHES, AMD, &always, &amd_ibrs, DO_IBRS, "IBRS, always on"},
    {MITIGATE_BRANCHES, INTEL, &always, &enhanced_ibrs, DO_IBRS, "enhanced IBRS"},
    {MITIGATE_HISTORY, INTEL, &always, &bhi_dis_s, DO_BHI, "BHI_DIS_S"},
    {MITIGATE_RETBLEED, INTEL, &always, &enhanced_ibrs, 0, "enhanced IBRS"},
    {MITIGATE_RETBLEED, AMD, &always, &amd_ibpb, DO_IBPB_EXIT, "IBPB at each exit"},
    /* Up to Zen 2 every IBPB also forgets what kind a branch is. */
    {MITIGATE_SRSO, AMD, &reduce, &reduce, DO_REDUCE, "BpSpecReduce"},
    {MITIGATE_SRSO, AMD, &ibpb_brtype, &brtype_too, DO_IBPB_EXIT, "IBPB at each exit"},
    {MITIGATE_SRSO, AMD, &zen3_up, &brtype_too, DO_IBPB_EXIT, "IBPB at each exit"},
    {MITIGATE_SRSO, AMD, &always, &amd_ibpb, DO_IBPB_EXIT, "IBPB at each exit"},
    {MITIGATE_SWITCH, AMD, &always, &amd_ibpb, DO_IBPB, "IBPB"},
    {MITIGATE_SWITCH, INTEL, &always, &intel_ibpb, DO_IBPB, "IBPB"},
    {MITIGATE_THREADS, AMD, &always, &amd_stibp, DO_STIBP, "STIBP"},
    {MITIGATE_THREADS, INTEL, &always, &intel_stibp, DO_STIBP, "STIBP"},
    {MITIGATE_L1TF, INTEL, &always, &l1d_flush, DO_L1D, "L1D flush at each run"},
    {MITIGATE_MDS, INTEL, &always, &md_clear, DO_VERW_L1D, "VERW at each run"},
    /* With &mds_no, MD_CLEAR does not promise what is needed here; without, VERW is done against
     * MDS already. Guests are not offered TSX. */
    {MITIGATE_TAA, INTEL, &tsx_ctrl, &tsx_ctrl, DO_TSX_OFF, "TSX switched off"},
    {MITIGATE_TAA, INTEL, &always, &taa_clears, 0, "VERW at each run"},
    /* Of no use to guests without devices' registers but where they can sample buffers: done
     * anyway. */
    {MITIGATE_MMIO, INTEL, &mds_clears, &mds_clears, DO_VERW_L1D, "VERW at each run"},
    {MITIGATE_MMIO, INTEL, &always, &fb_clear, DO_VERW_L1D, "VERW at each run"},
    {MITIGATE_RFDS, INTEL, &always, &rfds_clear, DO_VERW, "VERW at each run"},
    /* The microcode protects unless it is told not to; the firmware may have locked either. */
    {MITIGATE_GDS, INTEL, &gds_locked, &gds_can, DO_LOCKED, "by the microcode"},
    {MITIGATE_GDS, INTEL, &always, &gds_can, DO_GDS_ON, "by the microcode"},
    {MITIGATE_TSA, AMD, &always, &verw_clears, DO_VERW, "VERW at each run"},
    /* Its CPUs have enhanced IBRS, and none BHI_DIS_S. */
    {MITIGATE_ITS, INTEL, &always, &no_safe_places, 0, "branches in safe places"},
    /* Guests are the only code that can: the hypervisor's own pages keep their sizes. */
    {MITIGATE_PAGES, INTEL, &always, &pages_anyway, DO_SMALL_CODE, "4 KiB pages for guests' code"},
    /* Of concern within one address space only: the hypervisor runs nobody else's code in its own.
     */
    {MITIGATE_STORES, ANY, &always, &stores_anyway, DO_NOT, "none"},
};

static bool has(const uint64_t words[WORDS], const struct bits *bits)
{
        return (words[bits->word] & bits->mask) == bits->mask;
}

static void add_fact(uint64_t words[WORDS], const struct bits *fact, bool holds)
{
        words[FACTS] |= holds ? fact->mask : 0;
}

static void list_words(const struct mitigate_cpu *c, uint64_t words[WORDS])
{
        words[FACTS] = 0;
        words[L7_EBX] = c->l7_ebx;
        words[L7_EDX] = c->l7_edx;
        words[L7_2_EDX] = c->l7_2_edx;
        words[X8_EBX] = c->x8_ebx;
        words[X21_EAX] = c->x21_eax;
        words[X21_ECX] = c->x21_ecx;
        words[CAPS] = c->arch_caps;
        words[MCU_OPT] = c->mcu_opt;
        add_fact(words, &one_thread, !c->threads);
        add_fact(words, &zen3, c->family == FAMILY_ZEN3);
        add_fact(words, &zen3_up, c->family >= FAMILY_ZEN3);
        add_fact(words, &enhanced_ibrs, has(words, &intel_ibpb) && has(words, &ibrs_all));
        add_fact(words, &brtype_too, has(words, &ibpb_brtype) && has(words, &amd_ibpb));
        add_fact(words, &taa_clears, has(words, &md_clear) && !has(words, &mds_no));
        add_fact(words, &mds_clears, has(words, &taa_clears) && has(words, &l1d_flush));
        add_fact(words, &gds_can, has(words, &gds_ctrl) && !has(words, &gds_left_open));
}

static const struct safe *find_safe(unsigned what, enum vendor vendor, const uint64_t words[WORDS])
{
        for (size_t i = 0; i < ARRAY_LEN(safe); i++)
                if (safe[i].what == what && safe[i].vendor & vendor &&
                    has(words, safe[i].bits) == safe[i].has)
                        return &safe[i];
        return NULL;
}

static const struct measure *find_measure(unsigned what, enum vendor vendor,
                                          const uint64_t words[WORDS])
{
        for (size_t i = 0; i < ARRAY_LEN(measures); i++)
                if (measures[i].what == what && measures[i].vendor & vendor &&
                    has(words, measures[i].when))
                        return &measures[i];
        return NULL;
}

static enum mitigate_state state_of(const struct measure *m, const uint64_t words[WORDS], bool off)
{
        if (m->does & DO_NOT)
                return MITIGATE_NOT_NEEDED;
        if (!has(words, m->with))
                return MITIGATE_MISSING;
        return off && !(m->does & DO_LOCKED) ? MITIGATE_OFF : MITIGATE_ACTIVE;
}

/* Decide about one weakness; returns what the plan is to do. */
static uint32_t decide(unsigned what, enum vendor vendor, const uint64_t words[WORDS], bool off,
                       struct mitigate_row *row)
{
        const struct safe *no = find_safe(what, vendor, words);
        const struct measure *m = no ? NULL : find_measure(what, vendor, words);

        if (!m) {
                *row = (struct mitigate_row){.measure = "none"};
                row->by = no              ? no->bits->name
                          : vendor == AMD ? "AMD's CPUs do not have it"
                                          : "Intel's CPUs do not have it";
                return 0;
        }
        *row = (struct mitigate_row){true, state_of(m, words, off), m->text, m->with->name};
        return row->state == MITIGATE_ACTIVE ? m->does : 0;
}

static void fill_in(struct mitigate_plan *plan, uint32_t does)
{
        plan->spec_ctrl = (does & DO_IBRS ? SPEC_CTRL_IBRS : 0) |
                          (does & DO_STIBP ? SPEC_CTRL_STIBP : 0) |
                          (does & DO_BHI ? SPEC_CTRL_BHI_DIS_S : 0);
        plan->auto_ibrs = does & DO_AUTO_IBRS;
        plan->reduce = does & DO_REDUCE;
        plan->tsx_off = does & DO_TSX_OFF;
        plan->ibpb = does & DO_IBPB;
        plan->ibpb_exit = does & DO_IBPB_EXIT;
        plan->flush_l1d = does & DO_L1D;
        plan->clear_buffers = does & DO_VERW || (does & DO_VERW_L1D && !plan->flush_l1d);
        plan->gds_on = does & DO_GDS_ON;
        plan->gds_off = plan->row[MITIGATE_GDS].state == MITIGATE_OFF;
        plan->small_code = does & DO_SMALL_CODE;
}

void mitigate_decide(const struct mitigate_cpu *cpu, bool off, struct mitigate_plan *plan)
{
        uint64_t words[WORDS];
        uint32_t does = 0;

        list_words(cpu, words);
        for (unsigned i = 0; i < MITIGATE_COUNT; i++)
                does |= decide(i, cpu->amd ? AMD : INTEL, words, off, &plan->row[i]);
        fill_in(plan, does);
}

const char *mitigate_name(enum mitigate_what what)
{
        static const char *const names[MITIGATE_COUNT] = {"guest's branches",
                                                          "branch history",
                                                          "Retbleed",
                                                          "SRSO",
                                                          "VM to VM",
                                                          "threads",
                                                          "L1TF",
                                                          "MDS",
                                                          "TAA",
                                                          "MMIO stale data",
                                                          "RFDS",
                                                          "GDS",
                                                          "TSA",
                                                          "ITS",
                                                          "ITLB multihit",
                                                          "store bypass"};

        return names[what];
}

const char *mitigate_state_name(enum mitigate_state state)
{
        static const char *const names[] = {"not needed", "active", "off", "missing"};

        return names[state];
}
