# The console font: Debian's Lat15-VGA16 (package console-setup-linux), linked into the image as
# font_psf. Gives FONT_OBJ to the image's link.

FONT_GZ ?= /usr/share/consolefonts/Lat15-VGA16.psf.gz
FONT_OBJ := build/drivers/font.o

build/drivers/font.bin: $(FONT_GZ)
	@mkdir -p $(@D)
	$(Q)gzip -dc $< > $@.part && mv $@.part $@

$(FONT_OBJ): drivers/font.asm build/drivers/font.bin
	$(Q)nasm -f elf64 -i build/drivers/ $< -o $@
