; A test guest without an interrupt table that takes an exception: a triple fault.
%include "bzimage.inc"
        say "guest: triple fault follows"
        lidt [rel no_table]
        ud2
no_table:
        dw 0
        dq 0
        align 16, db 0
image_end:
