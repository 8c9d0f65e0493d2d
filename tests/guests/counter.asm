; A test guest that goes on for ever. It tells now and then how far it has counted, "guest: tick a", "guest: tick b" ...
; z is followed by a, and has no exits between two ticks but a look at the serial port. What it finds there it tells as
; "guest: key K". Interrupts are on, though none comes: Bochs 2.7 holds the host's back while a guest has them off.
%include "bzimage.inc"

LSR             equ COM1 + 5
ROUND           equ 4000000             ; instructions between two ticks

        lea rsp, [rel stack_end]
        sti
        say "guest: counts"
        mov bl, 'a'
.tick:
        mov [rel tick + 12], bl
        lea rsi, [rel tick]
        mov ecx, tick_end - tick
        call tell
        inc bl
        cmp bl, 'z'
        jbe .count
        mov bl, 'a'
.count:
        mov ecx, ROUND / 2
.more:  dec ecx
        jnz .more
.look:  mov dx, LSR
        in al, dx
        test al, 1
        jz .tick
        mov dx, COM1
        in al, dx
        mov [rel key + 11], al
        lea rsi, [rel key]
        mov ecx, key_end - key
        call tell
        jmp .look

; ECX bytes at RSI
tell:
        mov dx, COM1
.next:  mov al, [rsi]
        out dx, al
        inc rsi
        loop .next
        ret

tick:   db "guest: tick ?", 13, 10
tick_end:
key:    db "guest: key ?", 13, 10
key_end:
        align 16, db 0
        times 64 db 0
stack_end:
image_end:
