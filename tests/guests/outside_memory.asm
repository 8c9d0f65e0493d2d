; A test guest that writes where it has no memory: a guest-physical address beyond all of its ranges, which it maps first.
%include "bzimage.inc"
NOWHERE equ 0x7f00000000
        say "guest: writes outside its memory"
        mov rax, cr3
        and rax, ~0xfff
        ; A page directory pointer table with one 1 GiB page (the address' bits 38:30) and its entry in the top table.
        lea rbx, [rel table + 4095]
        and rbx, ~0xfff
        mov rcx, NOWHERE | 0x83         ; present, writable, large
        mov [rbx + ((NOWHERE >> 30) & 511) * 8], rcx
        or rbx, 3
        mov [rax + ((NOWHERE >> 39) & 511) * 8], rbx
        mov rax, cr3
        mov cr3, rax
        mov rax, NOWHERE
        mov qword [rax], 1
        say "guest: wrote outside its memory"
        hlt
table:  times 8192 db 0
        align 16, db 0
image_end:
