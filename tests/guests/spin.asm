; A test guest that wants all of its CPU, for ever.
%include "bzimage.inc"
        say "guest: spins"
.again:
        inc rax
        jmp .again
        align 16, db 0
image_end:
