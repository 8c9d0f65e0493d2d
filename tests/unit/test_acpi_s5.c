/* The values that switch a machine off: found in the AML of its tables, whatever else is there. */
#include "tests/unit/acpi_fixture.h"

static struct acpi_fadt read_with_aml(const char *aml, unsigned n)
{
        struct acpi_tables t;
        struct acpi_fadt f;

        make_machine();
        make_aml(DSDT, "DSDT", aml, n);
        t = open_machine();
        CHECK_EQ(acpi_read_fadt(&t, &f), 0);
        unmap_all();
        return f;
}

#define READ_AML(aml) read_with_aml(aml, sizeof(aml) - 1)

static void test_s5_forms(void)
{
        struct acpi_fadt f = READ_AML("\x08_S5_\x12\x06\x04\x0a\x05\x0a\x06\x00\x00");

        CHECK(f.s5_valid);
        CHECK_EQ(f.s5_type_a, 5);
        CHECK_EQ(f.s5_type_b, 6);
        f = READ_AML("\x08\\_S5_\x12\x4a\x00\x02\x0b\x07\x00\x01"); /* long length, word, one */
        CHECK(f.s5_valid);
        CHECK_EQ(f.s5_type_a, 7);
        CHECK_EQ(f.s5_type_b, 1);
        f = READ_AML("\x08_S5_\x12\x06\x01\x0c\x03\x00\x00\x00"); /* one element, double word */
        CHECK(f.s5_valid);
        CHECK_EQ(f.s5_type_a, 3);
        CHECK_EQ(f.s5_type_b, 0);
        /* a mention of the name before the definition */
        f = READ_AML("x_S5_\x08_S5_\x12\x04\x02\x01\x01");
        CHECK(f.s5_valid);
        CHECK_EQ(f.s5_type_a, 1);
}

static void test_s5_bad_forms(void)
{
        CHECK(!READ_AML("no name").s5_valid);
        CHECK(!READ_AML("x_S5_\x12\x06\x04\x00\x00").s5_valid);
        CHECK(!READ_AML("\x08_S5_\x11\x06\x04\x00\x00").s5_valid);
        CHECK(!READ_AML("\x08_S5_\x12\x06\x00\x00\x00").s5_valid);
        CHECK(!READ_AML("\x08_S5_\x12\x06\x02\x0a\x08\x00").s5_valid);
        CHECK(!READ_AML("\x08_S5_\x12\x06\x02\x0d\x08\x00").s5_valid);
        CHECK(!READ_AML("\x08_S5_\x12\x06\x01\x0d\x08").s5_valid);
        /* cut at every byte: with three bytes missing there is no second value */
        for (unsigned n = 0; n < 11; n++)
                CHECK(!read_with_aml("\x08_S5_\x12\x06\x02\x0a\x05\x0a\x06", n).s5_valid);
}

static void test_s5_in_other_places(void)
{
        struct acpi_tables t;
        struct acpi_fadt f;

        make_machine();
        make_aml(DSDT, "DSDT", "none", 4);
        make_aml(SSDT, "SSDT", S5_QEMU, sizeof(S5_QEMU) - 1);
        t = open_machine();
        CHECK_EQ(acpi_read_fadt(&t, &f), 0);
        CHECK(f.s5_valid);
        CHECK(acpi_power_off_missing(&f) == NULL);
        /* without DSDT and SSDT the rest of the FADT still counts */
        memory[DSDT]++;
        memory[SSDT + 40]++;
        CHECK_EQ(acpi_read_fadt(&t, &f), 0);
        CHECK(!f.s5_valid);
        CHECK_EQ(f.pm1a_control.address, 0xb004);
        memory[FADT + 64]++;
        CHECK_EQ(acpi_read_fadt(&t, &f), -EBADMSG);
        unmap_all();
}

static const char *why_not(const struct acpi_tables *t, struct acpi_fadt *f)
{
        const char *why;

        CHECK_EQ(acpi_read_fadt(t, f), 0);
        why = acpi_power_off_missing(f);
        CHECK(f->s5_valid || why);
        return why ? why : "";
}

/* A machine that cannot be switched off has a reason; a wrong checksum of the DSDT alone is none.
 */
static void test_power_off_missing(void)
{
        struct acpi_tables t;
        struct acpi_fadt f;

        make_machine();
        t = open_machine();
        CHECK(strcmp(why_not(&t, &f), "") == 0);
        CHECK(!f.s5_unchecked);
        memory[DSDT + 9]++; /* the checksum */
        CHECK(strcmp(why_not(&t, &f), "") == 0);
        CHECK(f.s5_valid && f.s5_unchecked);
        make_aml(SSDT, "SSDT", S5_QEMU, sizeof(S5_QEMU) - 1);
        CHECK(strcmp(why_not(&t, &f), "") == 0);
        CHECK(!f.s5_unchecked);
        make_aml(SSDT, "SSDT", "none", 4);
        put(memory + DSDT + 4, 20, 4); /* the length */
        CHECK(strstr(why_not(&t, &f), "DSDT is damaged"));
        make_aml(DSDT, "DSDT", "none", 4);
        CHECK(strstr(why_not(&t, &f), "_S5"));
        put(memory + FADT + 40, BASE + SIZE, 4);
        seal(FADT, "FACP", 116);
        CHECK(strstr(why_not(&t, &f), "out of reach"));
        put(memory + FADT + 40, 0, 4);
        seal(FADT, "FACP", 116);
        CHECK(strstr(why_not(&t, &f), "where the DSDT is"));
        make_machine();
        put(memory + FADT + 64, 0, 4);
        seal(FADT, "FACP", 116);
        CHECK(strstr(why_not(&t, &f), "no register"));
        f = (struct acpi_fadt){0};
        CHECK(strstr(acpi_power_off_missing(&f), "no FADT"));
        unmap_all();
}

int main(void)
{
        RUN(test_s5_forms);
        RUN(test_s5_bad_forms);
        RUN(test_s5_in_other_places);
        RUN(test_power_off_missing);
        return unit_done();
}
