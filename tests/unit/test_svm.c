/* SVM without the CPU: requirements, instruction lengths, the checks of VMRUN in words, and and
 * what has to wait: an NMI, an interrupt in the shadow of STI. */
#include <string.h>

#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/svm/svm.h"
#include "hv/svm/svm_caps.h"
#include "hv/svm/svm_check.h"
#include "hv/svm/svm_decode.h"
#include "tests/unit/unit.h"

struct svm_caps svm_caps; /* of the machine that VMRUN is for */

static char text[2000];
static unsigned lines;

static void keep_line(void *ctx, const char *line)
{
        (void)ctx;
        strncat(text, line, sizeof text - strlen(text) - 1);
        strncat(text, "\n", sizeof text - strlen(text) - 1);
        lines++;
}

static bool reported(const char *words)
{
        return strstr(text, words) != NULL;
}

static int check_caps(const struct svm_features *f, struct svm_caps *out)
{
        text[0] = 0;
        lines = 0;
        return svm_caps_check(f, out, keep_line, NULL);
}

/* In the manner of an EPYC of the second generation. */
static struct svm_features epyc(void)
{
        return (struct svm_features){
            .x1_ecx = 0x75c237ff, .x1_edx = 0x2fd3fbff, .asids = 0x8000, .xa_edx = 0x119b9cff};
}

static void test_everything_is_there(void)
{
        struct svm_features f = epyc();
        struct svm_caps caps;

        CHECK_EQ(check_caps(&f, &caps), 0);
        CHECK_EQ(lines, 0);
        CHECK(caps.next_rip && caps.decode_assists && caps.flush_by_asid && caps.page_1g);
        CHECK_EQ(caps.asids, 0x8000);
        f.xa_edx = 1; /* QEMU 7.2's emulation has hardly more than nested paging */
        f.x1_edx = 1u << 20;
        CHECK_EQ(check_caps(&f, &caps), 0);
        CHECK(!caps.next_rip && !caps.decode_assists && !caps.flush_by_asid && !caps.page_1g);
}

/* Another CPU, which an exit would be read wrongly on: each difference is told. */
static void test_other_cpu(void)
{
        struct svm_features first = epyc(), other = epyc();

        text[0] = 0;
        lines = 0;
        other.vm_cr = VM_CR_SVMDIS;
        CHECK(svm_caps_same(&first, &other, keep_line, NULL));
        CHECK_EQ(lines, 0);
        other.xa_edx ^= 1u << 3;
        other.asids--;
        CHECK(!svm_caps_same(&first, &other, keep_line, NULL));
        CHECK_EQ(lines, 2);
        CHECK(reported("SVM: CPUID.8000000A:EDX is 0x"));
}

static void test_each_missing_feature(void)
{
        struct svm_caps caps = {.asids = 77};
        struct svm_features f = epyc();

        f.x1_ecx &= ~CPUID_X1_ECX_SVM;
        CHECK_EQ(check_caps(&f, &caps), -ENODEV);
        CHECK_EQ(lines, 1);
        CHECK(reported("SVM: missing: SVM: CPUID.80000001:ECX bit 2 is 0"));
        f = epyc();
        f.vm_cr = VM_CR_LOCK; /* locked, but on */
        CHECK_EQ(check_caps(&f, &caps), 0);
        f.vm_cr = VM_CR_SVMDIS; /* off, but not locked */
        CHECK_EQ(check_caps(&f, &caps), 0);
        CHECK_EQ(lines, 0);
        caps.asids = 77;
        f.vm_cr = VM_CR_LOCK | VM_CR_SVMDIS;
        CHECK_EQ(check_caps(&f, &caps), -ENODEV);
        CHECK(lines == 1 && reported("VM_CR bit 4 (SVMDIS) is 1"));
        f = epyc();
        f.xa_edx &= ~1u;
        CHECK_EQ(check_caps(&f, &caps), -ENODEV);
        CHECK(lines == 1 && reported("nested paging (NPT): CPUID.8000000A:EDX bit 0 is 0"));
        f = epyc();
        f.x1_edx &= ~(1u << 20);
        CHECK_EQ(check_caps(&f, &caps), -ENODEV);
        CHECK(lines == 1 && reported("(NX): CPUID.80000001:EDX bit 20"));
        f = epyc();
        f.asids = 1;
        f.xa_edx = 0;
        CHECK_EQ(check_caps(&f, &caps), -ENODEV);
        CHECK(lines == 2 && reported("ASID"));
        CHECK_EQ(caps.asids, 77);
}

struct code {
        const char *bytes;
        unsigned n;
        bool wide;
        uint64_t exit_code;
        int length; /* or the error */
        uint8_t reg;
};

static const struct code codes[] = {
    {"\x0f\xa2", 2, true, SVM_EXIT_CPUID, 2, 0},
    {"\x0f\xa2\x0f", 3, false, SVM_EXIT_CPUID, 2, 0},
    {"\x66\xf3\x48\x0f\xa2", 5, true, SVM_EXIT_CPUID, 5, 0},
    {"\x48\x66\x0f\xa2", 4, true, SVM_EXIT_CPUID, 4, 0}, /* a REX that does not count */
    {"\x48\x0f\xa2", 3, false, SVM_EXIT_CPUID, -EINVAL, 0},
    {"\x0f", 1, true, SVM_EXIT_CPUID, -EINVAL, 0},
    {"", 0, true, SVM_EXIT_CPUID, -EINVAL, 0},
    {"\x0f\xa2", 2, true, SVM_EXIT_MSR, -EINVAL, 0},
    {"\x0f\x32", 2, true, SVM_EXIT_MSR, 2, 0},
    {"\x0f\x30", 2, true, SVM_EXIT_MSR, 2, 0},
    {"\xf4", 1, true, SVM_EXIT_HLT, 1, 0},
    {"\x0f\x01\xd9", 3, true, SVM_EXIT_VMMCALL, 3, 0},
    {"\x0f\x01\xc1", 3, true, SVM_EXIT_VMMCALL, -EINVAL, 0}, /* VMCALL is Intel's */
    {"\x0f\x01\xd1", 3, true, SVM_EXIT_XSETBV, 3, 0},
    {"\x0f\x08", 2, true, SVM_EXIT_INVD, 2, 0},
    {"\xf3\x0f\x09", 3, true, SVM_EXIT_WBINVD, 3, 0},
    {"\x44\x0f\x20\xc0", 4, true, SVM_EXIT_READ_CR8, 4, 0},
    {"\x45\x0f\x20\xc7", 4, true, SVM_EXIT_READ_CR8, 4, 15},
    {"\x44\x0f\x22\xc3", 4, true, SVM_EXIT_WRITE_CR8, 4, 3},
    {"\xf0\x0f\x22\xc6", 4, false, SVM_EXIT_WRITE_CR8, 4, 6}, /* LOCK MOV CR0 is MOV CR8 */
    {"\x44\x0f\x22", 3, true, SVM_EXIT_WRITE_CR8, -EINVAL, 0},
    {"\x26\x26\x26\x26\x26\x26\x26\x26\x26\x26\x26\x26\x26\x0f\xa2", 15, true, SVM_EXIT_CPUID, 15,
     0},
    {"\x26\x26\x26\x26\x26\x26\x26\x26\x26\x26\x26\x26\x26\x26\x0f\xa2", 16, true, SVM_EXIT_CPUID,
     -EINVAL, 0},
};

static void test_decode(void)
{
        for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
                const struct code *c = &codes[i];
                struct svm_instruction in = {0};
                int err = svm_decode((const uint8_t *)c->bytes, c->n, c->wide, c->exit_code, &in);

                CHECK_EQ(err ? err : in.length, c->length);
                CHECK_EQ(in.reg, c->reg);
        }
}

static struct vmcb good_vmcb(void)
{
        struct vmcb v = {0};

        v.intercept2 = INTERCEPT2_VMRUN;
        v.asid = 1;
        v.efer = EFER_SVME | EFER_LME | EFER_LMA;
        v.cr0 = CR0_PE | CR0_PG;
        v.cr4 = CR4_PAE;
        v.nested_cr3 = 0x1000;
        return v;
}

static void expect(const struct vmcb *v, const char *words)
{
        text[0] = 0;
        lines = 0;
        CHECK_EQ(svm_check_entry(v, keep_line, NULL), words ? 1 : 0);
        CHECK_EQ(lines, words ? 1 : 0);
        CHECK(!words || reported(words));
}

#define EXPECT(field, value, words)                                                                \
        do {                                                                                       \
                struct vmcb v_ = good_vmcb();                                                      \
                v_.field = (value);                                                                \
                expect(&v_, words);                                                                \
        } while (0)

static void test_check_entry(void)
{
        EXPECT(rip, 0, NULL);
        EXPECT(efer, EFER_LME | EFER_LMA, "EFER.SVME");
        EXPECT(cr0, CR0_PE | CR0_PG | CR0_NW, "CR0.NW");
        EXPECT(cr0, CR0_PE | CR0_PG | 1ull << 40, "CR0 bits 63:32");
        EXPECT(cr3, 1ull << 60, "CR3");
        EXPECT(dr6, 1ull << 32, "DR6");
        EXPECT(dr7, 1ull << 63, "DR7");
        EXPECT(cr4, 0, "without CR4.PAE");
        EXPECT(cr0, CR0_PG, "without CR0.PE");
        EXPECT(cs.attrib, 0x600, "CS.D");
        EXPECT(cs.attrib, 0x200, NULL);
        EXPECT(intercept2, 0, "VMRUN");
        EXPECT(asid, 0, "ASID");
        EXPECT(nested_cr3, 0x1001, "nested CR3");
        EXPECT(event, EVENT_VALID | 1 << 8, "EVENTINJ");
        EXPECT(event, EVENT_VALID | 5 << 8, "EVENTINJ");
        EXPECT(event, EVENT_VALID | 3 << 8 | 13, NULL);
}

/* A fault's handler returns with RF set, a trap's without. */
static void test_faults_set_rf(void)
{
        struct vmcb vmcb = {0};
        struct svm_vcpu v = {.vmcb = &vmcb};
        struct vcpu vcpu = {.arch = &v};

        svm_inject_exception(&vcpu, 1, 0);
        svm_inject_exception(&vcpu, 3, 0);
        svm_inject_exception(&vcpu, 18, 0);
        CHECK_EQ(vmcb.rflags, 0);
        svm_inject_exception(&vcpu, 13, 0);
        CHECK_EQ(vmcb.rflags, RFLAGS_RF);
        vmcb.rflags = 0;
        svm_inject_page_fault(&vcpu, 0, 0);
        CHECK_EQ(vmcb.rflags, RFLAGS_RF);
}

/* How far away the next try is, after `tries` without an instruction of the guest in between. */
static uint64_t nmi_wait(struct vcpu *vcpu, unsigned tries)
{
        struct svm_vcpu *v = vcpu->arch;
        uint64_t before = 0;

        while (tries--) {
                v->deadline = UINT64_MAX;
                before = cpu_rdtsc();
                CHECK(!svm_inject_nmi(vcpu));
        }
        return v->deadline - before;
}

/* A machine that is slower than the time between two tries gets to the guest's instruction all the
 * same. */
static void test_nmi_waits(void)
{
        struct vmcb vmcb = {.int_shadow = INTERRUPT_SHADOW};
        struct svm_vcpu v = {.vmcb = &vmcb, .deadline = UINT64_MAX};
        struct vcpu vcpu = {.arch = &v};

        CHECK(nmi_wait(&vcpu, 1) < 1u << 30);
        CHECK(nmi_wait(&vcpu, 30) >= 1u << 30);
        v.deadline = 1;
        CHECK(!svm_inject_nmi(&vcpu));
        CHECK_EQ(v.deadline, 1); /* an exit that comes earlier does as well */
        vmcb.int_shadow = 0;
        CHECK(svm_inject_nmi(&vcpu));
        vmcb.event = 0;
        CHECK(!svm_inject_nmi(&vcpu)); /* until its IRET, of which an exit tells */
        CHECK_EQ(v.deadline, 1);
        v.nmi_ends = true;
        vmcb.event = EVENT_VALID;
        CHECK(nmi_wait(&vcpu, 1) < 1u << 30);
}

/* An NMI that waits for the IRET of another comes right behind it. */
static void test_nmi_behind_iret(void)
{
        struct vmcb vmcb = {.dr6 = 0xffff0ff1};
        struct svm_vcpu v = {.vmcb = &vmcb, .deadline = UINT64_MAX};
        struct vcpu vcpu = {.arch = &v};

        CHECK(svm_inject_nmi(&vcpu));
        vmcb.event = 0;
        v.nmi_ends = true; /* at its IRET */
        CHECK(!svm_nmi_stepped(&v));
        CHECK(!svm_inject_nmi(&vcpu) && !svm_inject_nmi(&vcpu));
        CHECK_EQ(v.deadline, UINT64_MAX);
        CHECK_EQ(vmcb.rflags, RFLAGS_TF);
        vmcb.dr6 |= 2; /* a breakpoint of the guest's on it, a fault */
        CHECK(!svm_nmi_stepped(&v));
        CHECK_EQ(vmcb.rflags, 0);
        CHECK_EQ(vmcb.dr6, 0xffff0ff3);
        CHECK(!svm_inject_nmi(&vcpu));
        vmcb.dr6 |= DR6_BS;
        vmcb.rflags = RFLAGS_TF | RFLAGS_IF; /* as the IRET has loaded it */
        CHECK(svm_nmi_stepped(&v));
        CHECK_EQ(vmcb.rflags, RFLAGS_TF | RFLAGS_IF);
        CHECK_EQ(vmcb.dr6, 0xffff0ff3);
        CHECK(svm_inject_nmi(&vcpu));
        CHECK(!svm_nmi_stepped(&v)); /* the next trap is the guest's */
        vmcb.event = 0;
        v.nmi_ends = true;
        vmcb.rflags = 0;
        CHECK(!svm_inject_nmi(&vcpu));
        vmcb.rip = 1; /* Bochs does not tell why */
        vmcb.rflags = 0;
        CHECK(svm_nmi_stepped(&v));
        CHECK(svm_inject_nmi(&vcpu));
        vmcb.event = 0;
        v.nmi_ends = true;
        vmcb.rflags = RFLAGS_TF;
        CHECK_EQ(nmi_wait(&vcpu, 30) >= 1u << 30, true); /* it steps itself */
        CHECK(!v.nmi_steps);
}

/* A run that ends at rip, where the CPU tells of a shadow or does not. */
static void run_in_shadow(struct svm_vcpu *v, uint64_t rip, bool told)
{
        svm_begin_shadow(v);
        v->vmcb->rip = rip;
        v->vmcb->int_shadow = told ? INTERRUPT_SHADOW : 0;
        svm_end_shadow(v);
}

/* Where VMRUN forgets the shadow, an interrupt is kept outside until the instruction is executed.
 */
static void test_shadow_is_kept(void)
{
        struct vmcb vmcb = {.rip = 8, .int_control = INT_V_IRQ, .int_shadow = INTERRUPT_SHADOW};
        struct svm_vcpu v = {.vmcb = &vmcb, .deadline = UINT64_MAX};
        unsigned tries = 0;

        svm_caps.next_rip = false;
        svm_begin_shadow(&v);
        CHECK(!(vmcb.int_control & INT_V_IRQ) && v.deadline < UINT64_MAX);
        vmcb.int_shadow = 0; /* an exit before the instruction, of which the CPU does not tell */
        svm_end_shadow(&v);
        CHECK(vmcb.int_control & INT_V_IRQ && vmcb.int_shadow & INTERRUPT_SHADOW);
        run_in_shadow(&v, 9, false); /* it is executed */
        CHECK(vmcb.int_control & INT_V_IRQ && !(vmcb.int_shadow & INTERRUPT_SHADOW));
        run_in_shadow(&v, 8, true);
        for (unsigned i = 0; i < 100; i++) /* STI again and again: each shadow is a new one */
                run_in_shadow(&v, 8, true);
        run_in_shadow(&v, 8, false);
        CHECK(vmcb.int_shadow & INTERRUPT_SHADOW);
        while (vmcb.int_shadow & INTERRUPT_SHADOW && tries++ < 100)
                run_in_shadow(&v, 8, false);
        CHECK(tries > 4 && tries < 20); /* an instruction that jumps to itself */

        vmcb.int_shadow = INTERRUPT_SHADOW; /* nothing waits: no exit by time */
        vmcb.int_control = 0;
        v.deadline = UINT64_MAX;
        svm_begin_shadow(&v);
        CHECK_EQ(v.deadline, UINT64_MAX);
        svm_end_shadow(&v);

        svm_caps.next_rip = true; /* other CPUs know of it */
        vmcb.int_control = INT_V_IRQ;
        svm_begin_shadow(&v);
        CHECK(vmcb.int_control & INT_V_IRQ);
        vmcb.int_shadow = 0;
        svm_end_shadow(&v);
        CHECK(!(vmcb.int_shadow & INTERRUPT_SHADOW));
}

int main(void)
{
        RUN(test_everything_is_there);
        RUN(test_each_missing_feature);
        RUN(test_other_cpu);
        RUN(test_decode);
        RUN(test_check_entry);
        RUN(test_faults_set_rf);
        RUN(test_nmi_waits);
        RUN(test_nmi_behind_iret);
        RUN(test_shadow_is_kept);
        return unit_done();
}
