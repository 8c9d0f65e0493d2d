/*
 * The part of the virtual platform that ACPI tells in AML: soft off and the serial port. Numbers are
 * those of guest/dev/platform.h and guest/dev/acpi_pm.h; the unit test of the tables compares them.
 */
DefinitionBlock ("", "DSDT", 2, "PFROST", "PERMAFRO", 1)
{
    // ACPI 6.5, 7.4.2.6: what the sleep control register takes for S5
    Name (\_S5, Package () { 5, 5, 0, 0 })

    Scope (\_SB)
    {
        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501")) // 16550A-compatible
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x3F8, 0x3F8, 0, 8)
                // not IRQNoFlags: there is no ISA interrupt, only I/O APIC pins
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 4 }
            })
        }
    }
}
