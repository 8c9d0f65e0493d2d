/* What is decided about CPUs' weaknesses: a table of CPUs as they are, and each bit alone. */
#include "hv/mitigate_plan.h"

#include <string.h>

#include "tests/unit/unit.h"

#define BIT(n) (1u << (n))

/* Of Intel: MD_CLEAR, IBRS+IBPB, STIBP, L1D flush, ARCH_CAPABILITIES; of AMD: leaf 80000008h. */
#define INTEL_OLD (BIT(26) | BIT(27))
#define INTEL_NEW (BIT(10) | BIT(26) | BIT(27) | BIT(28) | BIT(29))
#define RTM       BIT(11)
#define AMD_ALL   (BIT(12) | BIT(14) | BIT(15) | BIT(16))

/* ARCH_CAPABILITIES: RDCL_NO IBRS_ALL SSB_NO MDS_NO, TSX_CTRL, TAA_NO, the three of MMIO, FB_CLEAR,
 * BHI_NO, RFDS_NO, RFDS_CLEAR. */
#define CAPS_CLX   0x2bull
#define TSX_CTRL   (1ull << 7)
#define TAA_NO     (1ull << 8)
#define MMIO_NO    (7ull << 13)
#define FB_CLEAR   (1ull << 17)
#define BHI_NO     (1ull << 20)
#define RFDS_NO    (1ull << 27)
#define RFDS_CLEAR (1ull << 28)

struct model {
        const char *name;
        struct mitigate_cpu cpu;
        char states[MITIGATE_COUNT + 1]; /* in the order of enum mitigate_what: - a ! */
        uint64_t spec_ctrl;
        const char *does; /* a letter each: Auto-IBRS, ibPb, L1D, Verw, Exit's IBPB, Reduce, Tsx */
};

/* Branches: targets, history, Retbleed, SRSO; VMs, threads; L1TF, MDS, TAA, MMIO, RFDS; stores. */
static const struct model models[] = {
    {"Haswell, microcode of 2014", {.threads = true}, "!!!-!!!!-!!-", 0, ""},
    {"Haswell, microcode of 2019",
     {.threads = true, .l7_edx = INTEL_OLD | BIT(10) | BIT(28)},
     "!!!-aaaa-a!-",
     SPEC_CTRL_STIBP,
     "PL"},
    {"Skylake without threads",
     {.l7_ebx = RTM, .l7_edx = INTEL_NEW, .arch_caps = 0},
     "!!!-a-aaaa!-",
     0,
     "PL"},
    {"L1TF without L1D flush", {.l7_edx = INTEL_OLD | BIT(10)}, "!!!-a-!a-!!-", 0, "PV"},
    {"Cascade Lake",
     {.threads = true, .l7_ebx = RTM, .l7_edx = INTEL_NEW, .arch_caps = CAPS_CLX | TSX_CTRL},
     "a!a-aa--a!!-",
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP,
     "PT"},
    {"Cascade Lake, TSX switched off by the firmware, microcode of 2022",
     {.threads = true, .l7_edx = INTEL_NEW, .arch_caps = CAPS_CLX | TSX_CTRL | FB_CLEAR},
     "a!a-aa---a!-",
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP,
     "PV"},
    {"without MDS, with TSX that stays",
     {.l7_ebx = RTM, .l7_edx = INTEL_NEW, .arch_caps = CAPS_CLX | MMIO_NO},
     "a!a-a---!-!-",
     SPEC_CTRL_IBRS,
     "P"},
    {"Comet Lake with MDS",
     {.threads = true, .l7_edx = INTEL_NEW, .arch_caps = 0xb},
     "a!a-aa-a-a!-",
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP,
     "PV"},
    {"Skylake with MDS, L1D flush not needed, TSX",
     {.l7_ebx = RTM, .l7_edx = INTEL_NEW, .arch_caps = 1},
     "!!!-a--aaa!-",
     0,
     "PV"},
    {"under a hypervisor that flushes",
     {.l7_edx = INTEL_NEW, .arch_caps = 8},
     "!!!-a--a-a!-",
     0,
     "PV"},
    {"Sapphire Rapids",
     {.threads = true,
      .l7_ebx = RTM,
      .l7_edx = INTEL_NEW,
      .l7_2_edx = BIT(4),
      .arch_caps = CAPS_CLX | TAA_NO | MMIO_NO | RFDS_NO},
     "aaa-aa------",
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP | SPEC_CTRL_BHI_DIS_S,
     "P"},
    {"Alder Lake's small cores",
     {.l7_edx = INTEL_NEW,
      .l7_2_edx = BIT(4),
      .arch_caps = CAPS_CLX | TAA_NO | MMIO_NO | RFDS_CLEAR},
     "aaa-a-----a-",
     SPEC_CTRL_IBRS | SPEC_CTRL_BHI_DIS_S,
     "PV"},
    {"RFDS and L1TF at once: the flush does not clear registers",
     {.l7_edx = INTEL_NEW, .arch_caps = RFDS_CLEAR},
     "!!!-a-aa-aa-",
     0,
     "PLV"},
    {"nothing left",
     {.l7_edx = INTEL_NEW, .arch_caps = CAPS_CLX | TAA_NO | MMIO_NO | BHI_NO | RFDS_NO},
     "a-a-a-------",
     SPEC_CTRL_IBRS,
     "P"},
    {"two of the three bits of MMIO",
     {.l7_edx = INTEL_NEW, .arch_caps = CAPS_CLX | 3ull << 13},
     "a!a-a----!!-",
     SPEC_CTRL_IBRS,
     "P"},
    {"AMD K10", {.amd = true, .family = 0x10}, "!-!!!-------", 0, ""},
    {"Zen",
     {.amd = true, .family = 0x17, .threads = true, .x8_ebx = BIT(12)},
     "!-aaa!------",
     0,
     "PE"},
    {"Zen 2",
     {.amd = true, .family = 0x17, .threads = true, .x8_ebx = BIT(12) | BIT(14) | BIT(15)},
     "!-aaaa------",
     SPEC_CTRL_STIBP,
     "PE"},
    {"Zen 3, microcode of 2022",
     {.amd = true, .family = 0x19, .threads = true, .x8_ebx = AMD_ALL},
     "a--!aa------",
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP,
     "P"},
    {"Zen 3, microcode of 2023",
     {.amd = true, .family = 0x19, .threads = true, .x8_ebx = AMD_ALL, .x21_eax = BIT(28)},
     "a--aaa------",
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP,
     "PE"},
    {"Zen 4",
     {.amd = true,
      .family = 0x19,
      .threads = true,
      .x8_ebx = AMD_ALL | BIT(29),
      .x21_eax = BIT(8) | BIT(28)},
     "a--aaa------",
     SPEC_CTRL_STIBP,
     "APE"},
    {"Zen 5",
     {.amd = true,
      .family = 0x1a,
      .threads = true,
      .x8_ebx = AMD_ALL | BIT(29),
      .x21_eax = BIT(8) | BIT(28) | BIT(31)},
     "a--aaa------",
     SPEC_CTRL_STIBP,
     "APR"},
    {"safe from SRSO",
     {.amd = true,
      .family = 0x1a,
      .x8_ebx = AMD_ALL | BIT(29),
      .x21_eax = BIT(8) | BIT(28) | BIT(29) | BIT(31)},
     "a---a-------",
     0,
     "AP"},
    {"safe from Retbleed by its bit alone, not from SRSO",
     {.amd = true, .family = 0x17, .x8_ebx = BIT(12) | BIT(29)},
     "!--aa-------",
     0,
     "PE"},
    {"safe from SRSO by its bit alone, not from Retbleed",
     {.amd = true, .family = 0x17, .x8_ebx = BIT(12), .x21_eax = BIT(29)},
     "!-a-a-------",
     0,
     "PE"},
    {"BRTYPE without IBPB",
     {.amd = true, .family = 0x19, .x21_eax = BIT(28)},
     "!--!!-------",
     0,
     ""},
    /* the other vendor's bits do not count */
    {"AMD with Intel's bits",
     {.amd = true,
      .family = 0x10,
      .l7_ebx = RTM,
      .l7_edx = INTEL_NEW,
      .l7_2_edx = BIT(4),
      .arch_caps = 2 | TSX_CTRL | RFDS_CLEAR},
     "!-!!!-------",
     0,
     ""},
    {"Intel with AMD's bits",
     {.family = 0x19, .x8_ebx = AMD_ALL, .x21_eax = BIT(8) | BIT(28) | BIT(31)},
     "!!!-!-!!-!!-",
     0,
     ""},
};

static const char letters[] = {'-', 'a', 'o', '!'};

static void check_does(const struct mitigate_plan *plan, const char *does)
{
        CHECK_EQ(plan->auto_ibrs, strchr(does, 'A') != NULL);
        CHECK_EQ(plan->ibpb, strchr(does, 'P') != NULL);
        CHECK_EQ(plan->flush_l1d, strchr(does, 'L') != NULL);
        CHECK_EQ(plan->clear_buffers, strchr(does, 'V') != NULL);
        CHECK_EQ(plan->ibpb_exit, strchr(does, 'E') != NULL);
        CHECK_EQ(plan->reduce, strchr(does, 'R') != NULL);
        CHECK_EQ(plan->tsx_off, strchr(does, 'T') != NULL);
}

static void test_models(void)
{
        for (size_t i = 0; i < ARRAY_LEN(models); i++) {
                const struct model *m = &models[i];
                struct mitigate_plan plan;
                int before = unit_failed_checks;

                mitigate_decide(&m->cpu, false, &plan);
                for (unsigned k = 0; k < MITIGATE_COUNT; k++)
                        CHECK_EQ(letters[plan.row[k].state], m->states[k]);
                CHECK_EQ(plan.spec_ctrl, m->spec_ctrl);
                check_does(&plan, m->does);
                if (unit_failed_checks > before)
                        printf("that was %s\n", m->name);
        }
}

/* Nothing is done, what would have been is told, and what is missing stays missing. */
static void test_off(void)
{
        for (size_t i = 0; i < ARRAY_LEN(models); i++) {
                struct mitigate_plan on, off;

                mitigate_decide(&models[i].cpu, false, &on);
                mitigate_decide(&models[i].cpu, true, &off);
                for (unsigned k = 0; k < MITIGATE_COUNT; k++) {
                        bool was = on.row[k].state == MITIGATE_ACTIVE;

                        CHECK_EQ(off.row[k].state, was ? MITIGATE_OFF : on.row[k].state);
                        CHECK_EQ(off.row[k].vulnerable, on.row[k].vulnerable);
                        CHECK(!strcmp(off.row[k].measure, on.row[k].measure));
                }
                CHECK_EQ(off.spec_ctrl, 0);
                check_does(&off, "");
        }
}

/* Every row can be printed, and none claims to be safe or mitigated without a reason. */
static void test_rows(void)
{
        for (size_t i = 0; i < ARRAY_LEN(models); i++) {
                struct mitigate_plan plan;

                mitigate_decide(&models[i].cpu, false, &plan);
                for (unsigned k = 0; k < MITIGATE_COUNT; k++) {
                        const struct mitigate_row *row = &plan.row[k];

                        CHECK(*row->measure && *row->by);
                        CHECK(row->vulnerable || row->state == MITIGATE_NOT_NEEDED);
                        CHECK(*mitigate_name(k) && *mitigate_state_name(row->state));
                }
        }
}

static void test_store_bypass(void)
{
        struct mitigate_cpu cpu = {0};
        struct mitigate_plan plan;

        mitigate_decide(&cpu, false, &plan);
        CHECK(plan.row[MITIGATE_STORES].vulnerable);
        cpu.arch_caps = 16;
        mitigate_decide(&cpu, false, &plan);
        CHECK(!plan.row[MITIGATE_STORES].vulnerable);
        cpu = (struct mitigate_cpu){.amd = true, .x8_ebx = BIT(26)};
        mitigate_decide(&cpu, false, &plan);
        CHECK(!plan.row[MITIGATE_STORES].vulnerable);
}

int main(void)
{
        RUN(test_models);
        RUN(test_off);
        RUN(test_rows);
        RUN(test_store_bypass);
        return unit_done();
}
