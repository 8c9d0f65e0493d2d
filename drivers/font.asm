; The console font's file as it is, between font_psf and font_psf_end (drivers/psf.h).

        section .rodata
        global  font_psf, font_psf_end

font_psf:
        incbin  "font.bin"
font_psf_end:
        section .note.GNU-stack noalloc noexec nowrite progbits
