# The guests' DSDT: compiled by iasl (package acpica-tools), linked into the image and the unit tests
# as dsdt_aml. Gives DSDT_OBJ to the image's link.

DSDT_OBJ := build/guest/dsdt.o

build/guest/dsdt.aml: guest/load/dsdt.asl
	@mkdir -p $(@D)
	$(Q)iasl -we -p build/guest/dsdt $< > $(@D)/iasl.log || { cat $(@D)/iasl.log; exit 1; }

$(DSDT_OBJ): guest/load/dsdt.asm build/guest/dsdt.aml
	$(Q)nasm -f elf64 -i build/guest/ $< -o $@

build/hosted/libhosted.a: $(DSDT_OBJ)
