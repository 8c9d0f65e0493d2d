; A test guest that does nothing but exit, by CPUID.
%include "bzimage.inc"
        say "guest: exits"
.again:
        xor eax, eax
        cpuid
        jmp .again
        align 16, db 0
image_end:
