/*
 * The hosted half of pm.h: persistent memory whose power cuts can be tried.
 *
 * Without a recording, stores just happen. While a piece of memory is recorded, the model keeps
 * what is durable apart from what is stored, and before each fence (where most is in doubt), and at
 * the end, builds crash images: the durable bytes and a subset of the stores that may have reached
 * the media. The test's callback sees the image in place of the recorded memory, may write to it
 * through pm.h (recovery), even record that, and everything is undone before the next image.
 *
 * Up to 2^POWER subsets are tried exhaustively, of 8-byte words and of whole cache lines; beyond
 * that as many seeded samples.
 *
 * While recorded, non-temporal stores of 512 KiB and more (scrubbing, cloning) are kept or lost in
 * pieces of 512 KiB, of which only the first cache line is really written: look there. Without a
 * recording they are carried out whole.
 */
#pragma once

#include "hv/lib/types.h"

struct pm_recording;

/* image: the recorded memory as a power cut could leave it. */
typedef void (*pm_crash_fn)(void *ctx, void *image);

/*
 * Record [base, base + size) from now; everything there counts as durable. Recordings nest: inside
 * a callback the image itself may be recorded.
 */
struct pm_recording *pm_record(void *base, uint64_t size, unsigned int power, uint64_t seed,
                               pm_crash_fn crash, void *ctx);

/* End the innermost recording, after a last round of images; returns how many images were tried. */
uint64_t pm_record_end(struct pm_recording *recording);

/* Leave out the n-th (from 1) flush or fence since this call, 0 for none: a fault to be noticed. */
void pm_model_skip(uint64_t n);

/* Flushes and fences since the last pm_model_skip. */
uint64_t pm_model_orders(void);

#define PM_SITES_MAX 64

/* The places in the code that gave orders so far (return addresses), and how many. */
size_t pm_model_sites(const void *const **out);

/* Leave out every order that is given at this place, a mutant of the code; NULL: none. */
void pm_model_skip_site(const void *site);
