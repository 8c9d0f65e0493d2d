/* What is decided about CPUs' weaknesses: a table of CPUs as they are, and each bit alone. */
#include "hv/safety/mitigate_plan.h"

#include <string.h>

#include "tests/unit/unit.h"

#define BIT(n) (1u << (n))

/* Of Intel: MD_CLEAR, IBRS+IBPB, STIBP, L1D flush, ARCH_CAPABILITIES; of AMD: leaf 80000008h. */
#define INTEL_OLD (BIT(26) | BIT(27))
#define INTEL_NEW (BIT(10) | BIT(26) | BIT(27) | BIT(28) | BIT(29))
#define AVX2      BIT(5)
#define RTM       BIT(11)
#define AMD_ALL   (BIT(12) | BIT(14) | BIT(15) | BIT(16))

/* ARCH_CAPABILITIES: RDCL_NO IBRS_ALL SSB_NO MDS_NO, TSX_CTRL, TAA_NO, the three of MMIO, FB_CLEAR,
 * BHI_NO, GDS_CTRL, GDS_NO, RFDS_NO, RFDS_CLEAR; the size of pages, ITS_NO. */
#define CAPS_CLX   0x2bull
#define TSX_CTRL   (1ull << 7)
#define TAA_NO     (1ull << 8)
#define MMIO_NO    (7ull << 13)
#define FB_CLEAR   (1ull << 17)
#define BHI_NO     (1ull << 20)
#define GDS_CTRL   (1ull << 25)
#define GDS_NO     (1ull << 26)
#define RFDS_NO    (1ull << 27)
#define RFDS_CLEAR (1ull << 28)
#define PAGES_NO   (1ull << 6)
#define ITS_NO     (1ull << 62)

struct model {
        const char *name;
        struct mitigate_cpu cpu;
        char states[MITIGATE_COUNT + 1]; /* in the order of enum mitigate_what: - a ! */
        uint64_t spec_ctrl;
        /* a letter each: Auto-IBRS, ibPb, L1D, Verw, Exit's IBPB, Reduce, Tsx, Gathers, Small code
         */
        const char *does;
};

/* Branches: targets, history, Retbleed, SRSO; VMs, threads; L1TF, MDS, TAA, MMIO, RFDS; GDS, TSA,
 * ITS, pages; stores. */
static const struct model models[] = {
    {"Haswell, microcode of 2014", {.threads = true}, "!!!-!!!!-!!---a-", 0, "S"},
    {"Haswell, microcode of 2019",
     {.threads = true, .l7_edx = INTEL_OLD | BIT(10) | BIT(28)},
     "!!!-aaaa-a!---a-",
     SPEC_CTRL_STIBP,
     "PLS"},
    {"Skylake without threads",
     {.l7_ebx = RTM, .l7_edx = INTEL_NEW, .arch_caps = 0},
     "!!!-a-aaaa!---a-",
     0,
     "PLS"},
    {"L1TF without L1D flush", {.l7_edx = INTEL_OLD | BIT(10)}, "!!!-a-!a-!!---a-", 0, "PVS"},
    {"Cascade Lake",
     {.threads = true, .l7_ebx = RTM, .l7_edx = INTEL_NEW, .arch_caps = CAPS_CLX | TSX_CTRL},
     "a!a-aa--a!!--!a-",
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP,
     "PTS"},
    {"Cascade Lake, TSX switched off by the firmware, microcode of 2022",
     {.threads = true, .l7_edx = INTEL_NEW, .arch_caps = CAPS_CLX | TSX_CTRL | FB_CLEAR},
     "a!a-aa---a!--!a-",
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP,
     "PVS"},
    {"without MDS, with TSX that stays",
     {.l7_ebx = RTM, .l7_edx = INTEL_NEW, .arch_caps = CAPS_CLX | MMIO_NO},
     "a!a-a---!-!--!a-",
     SPEC_CTRL_IBRS,
     "PS"},
    {"Comet Lake with MDS",
     {.threads = true, .l7_edx = INTEL_NEW, .arch_caps = 0xb},
     "a!a-aa-a-a!--!a-",
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP,
     "PVS"},
    {"Skylake with MDS, L1D flush not needed, TSX",
     {.l7_ebx = RTM, .l7_edx = INTEL_NEW, .arch_caps = 1},
     "!!!-a--aaa!---a-",
     0,
     "PVS"},
    {"under a hypervisor that flushes",
     {.l7_edx = INTEL_NEW, .arch_caps = 8},
     "!!!-a--a-a!---a-",
     0,
     "PVS"},
    {"Sapphire Rapids",
     {.threads = true,
      .l7_ebx = RTM,
      .l7_edx = INTEL_NEW,
      .l7_2_edx = BIT(4),
      .arch_caps = CAPS_CLX | TAA_NO | MMIO_NO | RFDS_NO},
     "aaa-aa--------a-",
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP | SPEC_CTRL_BHI_DIS_S,
     "PS"},
    {"Alder Lake's small cores",
     {.l7_edx = INTEL_NEW,
      .l7_2_edx = BIT(4),
      .arch_caps = CAPS_CLX | TAA_NO | MMIO_NO | RFDS_CLEAR},
     "aaa-a-----a---a-",
     SPEC_CTRL_IBRS | SPEC_CTRL_BHI_DIS_S,
     "PVS"},
    {"RFDS and L1TF at once: the flush does not clear registers",
     {.l7_edx = INTEL_NEW, .arch_caps = RFDS_CLEAR},
     "!!!-a-aa-aa---a-",
     0,
     "PLVS"},
    {"nothing left",
     {.l7_edx = INTEL_NEW, .arch_caps = CAPS_CLX | TAA_NO | MMIO_NO | BHI_NO | RFDS_NO},
     "a-a-a--------!a-",
     SPEC_CTRL_IBRS,
     "PS"},
    {"two of the three bits of MMIO",
     {.l7_edx = INTEL_NEW, .arch_caps = CAPS_CLX | 3ull << 13},
     "a!a-a----!!--!a-",
     SPEC_CTRL_IBRS,
     "PS"},
    {"AMD K10", {.amd = true, .family = 0x10}, "!-!!!-----------", 0, ""},
    {"Zen",
     {.amd = true, .family = 0x17, .threads = true, .x8_ebx = BIT(12)},
     "!-aaa!----------",
     0,
     "PE"},
    {"Zen 2",
     {.amd = true, .family = 0x17, .threads = true, .x8_ebx = BIT(12) | BIT(14) | BIT(15)},
     "!-aaaa----------",
     SPEC_CTRL_STIBP,
     "PE"},
    {"Zen 3, microcode of 2022",
     {.amd = true, .family = 0x19, .threads = true, .x8_ebx = AMD_ALL},
     "a--!aa------!---",
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP,
     "P"},
    {"Zen 3, microcode of 2023",
     {.amd = true, .family = 0x19, .threads = true, .x8_ebx = AMD_ALL, .x21_eax = BIT(28)},
     "a--aaa------!---",
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP,
     "PE"},
    {"Zen 4",
     {.amd = true,
      .family = 0x19,
      .threads = true,
      .x8_ebx = AMD_ALL | BIT(29),
      .x21_eax = BIT(8) | BIT(28)},
     "a--aaa------!---",
     SPEC_CTRL_STIBP,
     "APE"},
    {"Zen 5",
     {.amd = true,
      .family = 0x1a,
      .threads = true,
      .x8_ebx = AMD_ALL | BIT(29),
      .x21_eax = BIT(8) | BIT(28) | BIT(31)},
     "a--aaa----------",
     SPEC_CTRL_STIBP,
     "APR"},
    {"safe from SRSO",
     {.amd = true,
      .family = 0x1a,
      .x8_ebx = AMD_ALL | BIT(29),
      .x21_eax = BIT(8) | BIT(28) | BIT(29) | BIT(31)},
     "a---a-----------",
     0,
     "AP"},
    {"safe from Retbleed by its bit alone, not from SRSO",
     {.amd = true, .family = 0x17, .x8_ebx = BIT(12) | BIT(29)},
     "!--aa-----------",
     0,
     "PE"},
    {"safe from SRSO by its bit alone, not from Retbleed",
     {.amd = true, .family = 0x17, .x8_ebx = BIT(12), .x21_eax = BIT(29)},
     "!-a-a-----------",
     0,
     "PE"},
    {"BRTYPE without IBPB",
     {.amd = true, .family = 0x19, .x21_eax = BIT(28)},
     "!--!!-------!---",
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
     "!-!!!-----------",
     0,
     ""},
    {"Intel with AMD's bits",
     {.family = 0x19, .x8_ebx = AMD_ALL, .x21_eax = BIT(8) | BIT(28) | BIT(31)},
     "!!!-!-!!-!!---a-",
     0,
     "S"},
    {"Skylake with gathers, microcode of 2023",
     {.l7_ebx = AVX2, .l7_edx = INTEL_NEW, .arch_caps = GDS_CTRL},
     "!!!-a-aa-a!a--a-",
     0,
     "PLGS"},
    {"gathers, and microcode that does nothing about them",
     {.l7_ebx = AVX2, .l7_edx = INTEL_NEW, .arch_caps = 0},
     "!!!-a-aa-a!!--a-",
     0,
     "PLS"},
    {"gathers that the firmware has locked, protected",
     {.l7_ebx = AVX2, .l7_edx = INTEL_NEW, .arch_caps = GDS_CTRL, .mcu_opt = 1 << 5},
     "!!!-a-aa-a!a--a-",
     0,
     "PLS"},
    {"gathers that the firmware has locked, not protected",
     {.l7_ebx = AVX2, .l7_edx = INTEL_NEW, .arch_caps = GDS_CTRL, .mcu_opt = 3 << 4},
     "!!!-a-aa-a!!--a-",
     0,
     "PLS"},
    {"Granite Rapids",
     {.threads = true,
      .l7_ebx = RTM | AVX2,
      .l7_edx = INTEL_NEW,
      .l7_2_edx = BIT(4),
      .arch_caps = CAPS_CLX | TAA_NO | MMIO_NO | RFDS_NO | GDS_NO | PAGES_NO},
     "aaa-aa----------",
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP | SPEC_CTRL_BHI_DIS_S,
     "P"},
    {"safe from ITS by its bit",
     {.l7_edx = INTEL_NEW, .arch_caps = CAPS_CLX | TAA_NO | MMIO_NO | BHI_NO | RFDS_NO | ITS_NO},
     "a-a-a---------a-",
     SPEC_CTRL_IBRS,
     "PS"},
    {"Zen 4, microcode of 2025",
     {.amd = true,
      .family = 0x19,
      .x8_ebx = AMD_ALL | BIT(29),
      .x21_eax = BIT(5) | BIT(8) | BIT(29)},
     "a---a-------a---",
     0,
     "APV"},
    {"of family 19h, one of the two bits of TSA",
     {.amd = true,
      .family = 0x19,
      .x8_ebx = AMD_ALL | BIT(29),
      .x21_eax = BIT(8) | BIT(29),
      .x21_ecx = BIT(1)},
     "a---a-------!---",
     0,
     "AP"},
    {"of family 19h, both bits of TSA",
     {.amd = true,
      .family = 0x19,
      .x8_ebx = AMD_ALL | BIT(29),
      .x21_eax = BIT(5) | BIT(8) | BIT(29),
      .x21_ecx = BIT(1) | BIT(2)},
     "a---a-----------",
     0,
     "AP"},
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
        CHECK_EQ(plan->gds_on, strchr(does, 'G') != NULL);
        CHECK_EQ(plan->small_code, strchr(does, 'S') != NULL);
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
                CHECK(!plan.gds_off);
                if (unit_failed_checks > before)
                        printf("that was %s\n", m->name);
        }
}

/* Nothing is done, what would have been is told, and what is missing stays missing. What protects
 * by itself is switched off, or else it stays active. */
static void test_off(void)
{
        for (size_t i = 0; i < ARRAY_LEN(models); i++) {
                struct mitigate_plan on, off;

                mitigate_decide(&models[i].cpu, false, &on);
                mitigate_decide(&models[i].cpu, true, &off);
                for (unsigned k = 0; k < MITIGATE_COUNT; k++) {
                        bool stays = k == MITIGATE_GDS && !on.gds_on;
                        bool was = on.row[k].state == MITIGATE_ACTIVE && !stays;

                        CHECK_EQ(off.row[k].state, was ? MITIGATE_OFF : on.row[k].state);
                        CHECK_EQ(off.row[k].vulnerable, on.row[k].vulnerable);
                        CHECK(!strcmp(off.row[k].measure, on.row[k].measure));
                }
                CHECK_EQ(off.spec_ctrl, 0);
                check_does(&off, "");
                CHECK_EQ(off.gds_off, on.gds_on);
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
