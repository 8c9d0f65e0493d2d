/* What is decided about CPUs' weaknesses: a table of CPUs as they are, and each bit alone. */
#include "hv/mitigate_plan.h"

#include <string.h>

#include "tests/unit/unit.h"

#define BIT(n) (1u << (n))

/* Of Intel: MD_CLEAR, IBRS+IBPB, STIBP, L1D flush, ARCH_CAPABILITIES; of AMD: leaf 80000008h. */
#define INTEL_OLD (BIT(26) | BIT(27))
#define INTEL_NEW (BIT(10) | BIT(26) | BIT(27) | BIT(28) | BIT(29))
#define AMD_ALL   (BIT(12) | BIT(14) | BIT(15) | BIT(16))

struct model {
        const char *name;
        struct mitigate_cpu cpu;
        char states[MITIGATE_COUNT + 1]; /* in the order of enum mitigate_what: - a ! */
        uint64_t spec_ctrl;
        const char *does; /* a letter each: Auto-IBRS, ibPb, L1D, Verw */
};

static const struct model models[] = {
    {"Haswell, microcode of 2014", {.threads = true}, "!!!!!-", 0, ""},
    {"Haswell, microcode of 2019",
     {.threads = true, .l7_edx = INTEL_OLD | BIT(10) | BIT(28)},
     "!aaaa-",
     SPEC_CTRL_STIBP,
     "PL"},
    {"Skylake without threads", {.l7_edx = INTEL_NEW, .arch_caps = 0}, "!a-aa-", 0, "PL"},
    {"L1TF without L1D flush", {.l7_edx = INTEL_OLD | BIT(10)}, "!a-!a-", 0, "PV"},
    {"Cascade Lake",
     {.threads = true, .l7_edx = INTEL_NEW, .arch_caps = 0x2b},
     "aaa---",
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP,
     "P"},
    {"Comet Lake with MDS",
     {.threads = true, .l7_edx = INTEL_NEW, .arch_caps = 0xb},
     "aaa-a-",
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP,
     "PV"},
    {"under a hypervisor that flushes", {.l7_edx = INTEL_NEW, .arch_caps = 8}, "!a--a-", 0, "PV"},
    {"Sapphire Rapids",
     {.threads = true, .l7_edx = INTEL_NEW, .arch_caps = 0x33},
     "aaa---",
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP,
     "P"},
    {"AMD K10", {.amd = true}, "!!----", 0, ""},
    {"Zen", {.amd = true, .threads = true, .x8_ebx = BIT(12)}, "!a!---", 0, "P"},
    {"Zen 2",
     {.amd = true, .threads = true, .x8_ebx = BIT(12) | BIT(14) | BIT(15)},
     "!aa---",
     SPEC_CTRL_STIBP,
     "P"},
    {"Zen 3",
     {.amd = true, .threads = true, .x8_ebx = AMD_ALL},
     "aaa---",
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP,
     "P"},
    {"Zen 4",
     {.amd = true, .threads = true, .x8_ebx = AMD_ALL, .x21_eax = BIT(8)},
     "aaa---",
     SPEC_CTRL_STIBP,
     "AP"},
    /* the other vendor's bits do not count */
    {"AMD with Intel's bits", {.amd = true, .l7_edx = INTEL_NEW, .arch_caps = 2}, "!!----", 0, ""},
    {"Intel with AMD's bits", {.x8_ebx = AMD_ALL, .x21_eax = BIT(8)}, "!!-!!-", 0, ""},
};

static const char letters[] = {'-', 'a', 'o', '!'};

static void check_does(const struct mitigate_plan *plan, const char *does)
{
        CHECK_EQ(plan->auto_ibrs, strchr(does, 'A') != NULL);
        CHECK_EQ(plan->ibpb, strchr(does, 'P') != NULL);
        CHECK_EQ(plan->flush_l1d, strchr(does, 'L') != NULL);
        CHECK_EQ(plan->clear_buffers, strchr(does, 'V') != NULL);
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
