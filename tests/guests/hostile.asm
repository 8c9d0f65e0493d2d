; A hostile test guest: random operations against the hypervisor, by seed; its C code is in tests/guests/hostile/.
%include "bzimage.inc"
        incbin PAYLOAD
        align 16, db 0
image_end:
