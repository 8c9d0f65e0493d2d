# `make install-grub`: files and menu entry for the GRUB of this machine, or below DESTDIR for a package.

DESTDIR ?=
INSTALL_FILES = $(DESTDIR)/boot/permafrost
INSTALL_ENTRY = $(DESTDIR)/etc/grub.d/42_permafrost
INSTALL_SETTINGS = $(DESTDIR)/etc/default/permafrost

# Settings that are there already are kept.
.PHONY: install-grub install-allowed
install-grub: install-allowed $(BOOT_FILES)
	$(Q)install -D -m 644 -t "$(INSTALL_FILES)" $(BOOT_FILES)
	$(Q)install -D -m 755 boot/grub.d_permafrost "$(INSTALL_ENTRY)"
	$(Q)[ -e "$(INSTALL_SETTINGS)" ] || install -D -m 644 boot/permafrost.default "$(INSTALL_SETTINGS)"
	@echo "installed $(INSTALL_FILES): $(notdir $(BOOT_FILES))"
	@echo "installed $(INSTALL_ENTRY), which adds the entry; its settings: $(INSTALL_SETTINGS)"
	@echo "next: update-grub"

install-allowed:
	$(Q)[ -n "$(DESTDIR)" ] || [ "$$(id -u)" = 0 ] || \
		{ echo "install-grub: needs root (sudo make install-grub), or DESTDIR=FOLDER" >&2; exit 1; }
