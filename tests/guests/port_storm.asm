; A test guest that reads and writes every I/O port but those that end the machine or talk to the console.
%include "bzimage.inc"
        say "guest: port storm"
        xor edx, edx
.next:
        cmp edx, 0x3f8
        jb .try
        cmp edx, 0x3ff
        jbe .skip
        cmp edx, 0x600
        jb .try
        cmp edx, 0x60f
        jbe .skip
        cmp edx, 0xcf9
        je .skip
.try:
        in al, dx
        in ax, dx
        in eax, dx
        cmp edx, 0x64
        je .skip                        ; written, this port resets the machine
        mov al, 0xff
        out dx, al
        mov ax, 0xffff
        out dx, ax
.skip:
        inc edx
        cmp edx, 0x10000
        jb .next
        say "guest: survived the port storm"
        lidt [rel no_table]
        ud2
no_table:
        dw 0
        dq 0
        align 16, db 0
image_end:
