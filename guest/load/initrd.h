/* Whether an initrd is whole, as far as its outside shows: boot loaders that unpack files cut them.
 */
#pragma once

#include "guest/config/config.h"
#include "hv/lib/types.h"

/*
 * Why the size bytes at initrd look cut, in words; NULL: they do not. Looked at are the entries of
 * a cpio archive (newc) up to its trailer, and the least that gzip needs; other formats are
 * believed.
 */
const char *initrd_looks_cut(const void *initrd, uint64_t size);

/* Log a warning for each VM whose initrd looks cut: a guest that lacks a part of it tells nothing
 * of the kind. */
void initrd_warn_of_cut(const struct config *config);
