; The compiled guest/load/dsdt.asl as it is, between dsdt_aml and dsdt_aml_end (guest/load/acpi_tables.h).

        section .rodata
        global  dsdt_aml, dsdt_aml_end

dsdt_aml:
        incbin  "dsdt.aml"
dsdt_aml_end:
        section .note.GNU-stack noalloc noexec nowrite progbits
