/* SPDX-License-Identifier: Apache-2.0
 *
 * keyfile: small files that are written whole or not at all: keys and certificates.
 */
#ifndef LOOP_KEYFILE_H
#define LOOP_KEYFILE_H

#include "base/text.h"

#include <sys/types.h>

/* What root makes belongs to the directory's owner, who is to use it: a secret of root's would keep the
 * service from starting. Synced before it has its name. ERR_DENIED, ERR_FULL, ERR_IO, ERR_NOT_FOUND (no such
 * directory), ERR_CONFIG (the path is too long). Any thread. */
MUST_CHECK int keyfile_write(const char *path, struct slice text, mode_t mode, struct err *err);

#endif
