/*
 * The part of the virtual platform that ACPI tells in AML: soft off, the serial port, the PCI bus. Numbers are
 * those of guest/dev/platform.h and guest/dev/acpi_pm.h; the unit test of the tables compares them.
 */
DefinitionBlock ("", "DSDT", 2, "PFROST", "PERMAFRO", 1)
{
    // ACPI 6.5, 7.4.2.6: what the sleep control register takes for S5
    Name (\_S5, Package () { 5, 5, 0, 0 })

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03")) // a PCI host bridge
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0, 0, 1)
                IO (Decode16, 0xCF8, 0xCF8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0xC000, 0xCFFF, 0, 0x1000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                             0, 0xE0000000, 0xEFFFFFFF, 0, 0x10000000)
            })
        }
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
