; A test guest that switches its machine off at once (guest/dev/platform.h, acpi_pm.h).
%include "bzimage.inc"

        say "guest: switches off"
        switch_off
.still: hlt
        jmp .still
        align 16, db 0
image_end:
