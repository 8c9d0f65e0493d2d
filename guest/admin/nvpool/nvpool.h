/* What the parts of the off-line tool share: its images, the pool on them, its verbs. */
#pragma once

#include "guest/admin/nv/nv_commands.h"
#include "mm/pool/pool_judge.h"

/* One range: a part of a file or device, mapped. */
struct image {
        const char *path;
        int fd; /* one a file, however many ranges lie in it */
        uint64_t offset, size, hpa;
        void *base;
};

struct tool {
        struct nv_target nv; /* first: the target of the pool's verbs is that of the tool's own */
        struct image image[POOL_RANGES_MAX];
        struct pool_range range[POOL_RANGES_MAX];
        size_t images;
        bool writable;       /* what is stored reaches the images; else it stays in this process */
        bool read_only;      /* no verb may write */
        bool damaged;        /* something was passed over: status 1, whatever the verb says */
        struct pool_bad bad; /* HPAs that are not to be read */
        struct pool pool;
};

/* An error or a warning: "nvpool: ..." on standard error. */
void tool_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Send the log there, too: warnings and errors, all with verbose; not while it is muted. */
void tool_log_start(bool verbose);
void tool_log_mute(bool mute);

/* The put of a struct out. */
void tool_put(void *ctx, const char *text, size_t n);

/* Ask on the terminal; without one false, with a line that says to give -y. */
bool tool_confirm(const char *what);

/*
 * nvpool_image.c: add a range, PATH[@OFFSET[+SIZE]][=HPA], a text that is cut and kept; open, lock
 * and map all ranges. false: the reason was told.
 */
bool image_add(struct tool *tool, char *spec);
bool image_open_all(struct tool *tool);
/* Is the file behind fd one of the images? */
bool image_is_open(const struct tool *tool, int fd);

/* pm_file.c: what is stored in this mapping of a file or device is to become durable. Stores
 * elsewhere (into private mappings) are not made durable. */
void pm_file_add(void *base, uint64_t size);

/* nvpool_mount.c: what a range holds. */
struct pool_content range_judge(const struct tool *tool, const struct pool_range *range);

/* Mount the pool, without a question. A salvage mount writes nothing. */
must_check int tool_mount(struct tool *tool, enum pool_mode mode, bool format);
/* To change it. Blank ranges are refused, not formatted on the way. */
must_check int tool_mount_to_change(struct tool *tool);
/* To read it, what is intact if need be; to judge it: without mending in memory. */
must_check int tool_mount_to_read(struct tool *tool, bool judge);

/* The tool that a verb works on. */
static inline struct tool *tool_of(const struct command_call *call)
{
        return (struct tool *)call->target;
}

/* The tool's own verbs. nvpool_file.c: */
int tool_export(const struct command_call *call);
int tool_import(const struct command_call *call);
/* nvpool_info.c: */
int tool_info(const struct command_call *call);
/* nvpool_repair.c: */
int tool_format(const struct command_call *call);
int tool_repair(const struct command_call *call);
