; A test guest that writes and reads where it has no memory: a guest-physical address beyond all of its ranges, which it maps first.
%include "bzimage.inc"
NOWHERE equ 0x8f00000000
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
        mov rcx, [rax]
        cmp rcx, -1                     ; as on a bus where nobody answers
        jne .somewhere
        say "guest: nobody answered"
        hlt
.somewhere:
        say "guest: the write went somewhere"
        hlt
table:  times 8192 db 0
        align 16, db 0
image_end:
