; A test guest that fits in the least memory that a VM can have, 2 MiB, and waits for interrupts of which none comes.
%define PREF_ADDRESS     0x100000
%define KERNEL_ALIGNMENT 0x1000
%include "bzimage.inc"
        say "guest: idles"
        sti
.still:
        hlt
        jmp .still
        align 16, db 0
image_end:
