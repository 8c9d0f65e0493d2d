; A test guest that halts with interrupts off: nothing can wake it again.
%include "bzimage.inc"
        say "guest: halts for ever"
        cli
        hlt
        say "guest: woke up"
.still:
        hlt
        jmp .still
        align 16, db 0
image_end:
