/* Error numbers: functions return 0 or a negative errno value. Hosted, the C library's own are
 * used. */
#pragma once

#if __STDC_HOSTED__
#include <errno.h>
#else
#define EPERM   1
#define ENOENT  2
#define EIO     5
#define E2BIG   7
#define ENOMEM  12
#define EFAULT  14
#define EBUSY   16
#define EEXIST  17
#define ENODEV  19
#define EINVAL  22
#define ENOSPC  28
#define EROFS   30
#define ERANGE  34
#define EBADMSG 74
#define ENOTSUP 95
#define ESTALE  116
#endif
