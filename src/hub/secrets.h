/* SPDX-License-Identifier: Apache-2.0
 *
 * secrets: the keys and certificates that lie in the hub's data directory and below, for backups: the files
 * with a key's or a certificate's ending (.key .pub .pem .crt .cer .der), and those that the settings name.
 */
#ifndef HUB_SECRETS_H
#define HUB_SECRETS_H

#include "hub/paths.h"

enum { SECRETS_DEPTH = 8, SECRETS_FILES = 10000 };

/* Calls each() with the path of every one and its name below the data directory, with some twice; what each()
 * answers, if not 0, ends it. Links to files are followed; links to directories only where a setting leads
 * through one. Directories that hold something else (journal, store, receive, quarantine) and backups are
 * passed. ERR_IO, ERR_DENIED, ERR_LIMIT (too deep, too many). Any thread. */
MUST_CHECK int secrets_each(const struct hub_paths *paths,
                            int (*each)(void *arg, const char *path, const char *name, struct err *err),
                            void *arg, struct err *err);

#endif
