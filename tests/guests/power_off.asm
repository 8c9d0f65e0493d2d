; A test guest that switches its machine off at once (guest/platform.h, acpi_pm.h).
%include "bzimage.inc"

SLEEP_CONTROL   equ 0x600
S5              equ 5 << 2 | 0x20       ; SLP_TYP, SLP_EN

        say "guest: switches off"
        mov dx, SLEEP_CONTROL
        mov al, S5
        out dx, al
.still: hlt
        jmp .still
        align 16, db 0
image_end:
