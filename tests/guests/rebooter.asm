; A test guest that resets its machine soon after each start (guest/dev/platform.h, acpi_pm.h).
%include "bzimage.inc"

LIFE       equ 70000000                 ; ticks of the TSC
RESET      equ 0x604
RESET_WORD equ 6

        say "guest: resets soon"
        rdtsc
        mov ebx, eax
.wait:  pause
        rdtsc
        sub eax, ebx
        cmp eax, LIFE
        jb .wait
        mov dx, RESET
        mov al, RESET_WORD
        out dx, al
.still: hlt
        jmp .still
        align 16, db 0
image_end:
