/*
 * A block device (virtio 1.2, 5.2): a region of NVRAM, or a file that was loaded with the VM's
 * kernel, as a disk. One queue.
 *
 * A write is durable when the driver is told of its end: keeping sectors whole over a power cut
 * (mm/pool/pool_disk.h) takes the fences that a flush would have made. So the device says that its
 * cache is write-through, and drivers send no flushes; one that does is told at once that all is
 * done. Discarded sectors read as zero, as those do that zeroes are written to: what was deleted is
 * nowhere on media any more.
 *
 * A request is checked whole before its first sector is touched, and again when it is gone on with:
 * one notification moves some 128 KiB, then the guest makes it again.
 */
#pragma once

#include "guest/dev/virtio/device.h"
#include "mm/pool/pool_disk.h"

#define VIRTIO_BLK_ID_SIZE 20u /* of the serial number; a longer name is cut */

/* The configuration space, 5.2.4. */
struct virtio_blk_config {
        uint64_t capacity; /* sectors of 512 bytes */
        uint32_t size_max, seg_max;
        uint32_t geometry;
        uint32_t blk_size;
        uint8_t physical_block_exp, alignment_offset;
        uint16_t min_io_size;
        uint32_t opt_io_size;
        uint8_t writeback, unused0;
        uint16_t num_queues;
        uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
        uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
        uint8_t write_zeroes_may_unmap, unused1[3];
};

struct virtio_blk {
        struct virtio_device device; /* first: the model's functions get it */
        struct virtio_blk_config config;
        bool read_only;
        char id[VIRTIO_BLK_ID_SIZE];
        struct pool_disk media;
        /* Under the queue's lock: the request at hand, and how much of the one named is done. */
        struct virtio_chain chain;
        uint16_t unfinished;
        uint64_t done;
};

/*
 * Make a disk of size bytes with a serial number. mem and owner as virtio_device_init. Before the
 * VM runs, blk->media is opened, with so many bytes; it stays until the VM's end.
 */
void virtio_blk_init(struct virtio_blk *blk, const char *serial, uint64_t size, bool read_only,
                     const struct gmem *mem, const char *owner);
