/* The version that the log's first line and the EFI loader tell. */
#pragma once

#define PERMAFROST_VERSION "0.4"
