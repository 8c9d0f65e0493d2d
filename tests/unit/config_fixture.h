/* The configuration that a test reads, and what was told about it. */
#pragma once

#include "guest/config/config.h"
#include "hv/lib/string.h"

static struct config config;

/* Whether some message holds both texts. */
static inline bool said(const char *where, const char *what)
{
        for (size_t i = 0; i < config.error_count && i < CONFIG_ERRORS_MAX; i++)
                if (strstr(config.error[i].text, where) && strstr(config.error[i].text, what))
                        return true;
        return false;
}
