/*
 * The hypervisor's log. Every line goes to all registered sinks (serial port, screen) and to nobody
 * when there is none yet: lines before the first sink are kept in the ring and replayed to it.
 *
 * One call is one line: printk adds the level's prefix and the newline. Lines above the log level
 * are not shown, but those up to LOG_INFO are kept in the ring too. Safe on every CPU after
 * log_add_sink; not from an NMI handler.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NOTICE: what an administrator wants of each boot, a line a subsystem; INFO: its tables. */
enum log_level { LOG_ERROR, LOG_WARN, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

#define LOG_SINKS_MAX 4

/* Write n bytes of text (may hold newlines) to an output. */
typedef void (*log_sink_fn)(const char *text, size_t n);

void printk(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Show lines up to and including this level; the default is LOG_NOTICE. */
void log_set_level(enum log_level level);

/* Add an output; lines logged so far, up to the level, are replayed to it. A sink beyond
 * LOG_SINKS_MAX is ignored. */
void log_add_sink(log_sink_fn sink);

/*
 * Read the kept part of the log, oldest first: copy the next whole line, without its newline and
 * cut to size bytes with the terminating zero. *at is 0 before the first call. Returns false, and
 * copies nothing, behind the last line. Lines that are logged between calls may displace others.
 */
bool log_next_line(size_t *at, char *line, size_t size);

/* The other CPUs have been stopped, wherever they were: whoever held the log holds it no more. */
void log_break_lock(void);

/* How many lines were shown so far: has somebody written since? */
size_t log_lines(void);

/* Pass text that is not a log line (a guest's console) to every sink. */
void log_raw(const char *text, size_t n);

/* Takes one line of text without a newline; the text is valid during the call only. */
typedef void (*report_fn)(void *ctx, const char *line);

/* A report_fn that logs the line as an error, behind the text that ctx points to. */
void log_report(void *ctx, const char *line);

/*
 * Print the reason and stop this machine: only for the hypervisor's own broken invariants. The
 * other CPUs stop at the NMI that each is sent, by what panic_has_begun tells them.
 */
_Noreturn void panic(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool panic_has_begun(void);
