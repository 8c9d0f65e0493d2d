/* The functions behind the `nv` verbs, for the table in nv_commands.c; see struct command. */
#pragma once

#include "guest/text/command.h"

/* nv_list.c: what is there */
int nv_list(const struct command_call *call);
int nv_show(const struct command_call *call);

/* nv_change.c: regions come, go and change */
int nv_create(const struct command_call *call);
int nv_delete(const struct command_call *call);
int nv_grow(const struct command_call *call);
int nv_shrink(const struct command_call *call);
int nv_rename(const struct command_call *call);
int nv_clone(const struct command_call *call);
int nv_grant(const struct command_call *call);

/* nv_health.c: damage, bad granules, what is still to be overwritten */
int nv_check(const struct command_call *call);
int nv_bad(const struct command_call *call);
int nv_scrub(const struct command_call *call);
