/*
 * The control port: the monitor's verbs for a program in a VM that has `control`, by a port of its
 * console device that Linux shows as /dev/virtio-ports/org.permafrost.control.
 *
 * A request is one line of at most 511 printable characters, of which the verb has 255:
 *
 *     ID VERB [ARGUMENT...]       ID: a number below 2^32 that the program chooses
 *
 * Several may be under way. Each is answered by lines, one JSON value each, in the order of the
 * requests:
 *
 *     {"id":ID,"out":VALUE}       for each line that the verb prints with -o json, the default here
 *     {"id":ID,"text":"..."}      with -o text, for each line that the monitor would show
 *     {"id":ID,"status":N}        the end: 0, or a positive errno value
 *
 * Nobody is asked: what ends something wants -y, else its status is EPERM. What is no request has
 * the answer {"id":0,"error":"...","status":22}. An answer of which the guest does not read enough
 * is cut off, and its status is ENOSPC.
 *
 * `control=ro` may look: a verb that changes something has the status EROFS. Everything that comes
 * from the port is taken for hostile.
 */
#pragma once

#include "guest/admin/monitor_commands.h"

/* Verbs and names as the monitor has them; set and all stay the caller's. */
void control_init(const struct command_set *set, struct vms *all);

/* Answer what VMs have asked; for cpu0_init. A few requests at a time. */
void control_serve(void);
