/* SPDX-License-Identifier: Apache-2.0
 *
 * paths: where everything lies below the hub's data directory; the hub and the CLI's offline verbs use the
 * same names.
 */
#ifndef HUB_PATHS_H
#define HUB_PATHS_H

#include "config/config.h"

enum { PATHS_BYTES = 1024 };

struct hub_paths {
    char data[PATHS_BYTES];
    char account[PATHS_BYTES];         /* account.db */
    char key[PATHS_BYTES];             /* wire.key, and wire.key.pub: CURVE */
    char certificate[PATHS_BYTES];     /* tls.crt, or the setting */
    char certificate_key[PATHS_BYTES]; /* tls.key, or the setting */
    char journal[PATHS_BYTES];         /* journal/ */
    char store[PATHS_BYTES];           /* store/ */
    char receive[PATHS_BYTES];         /* receive/: what each edge has delivered */
    char quarantine[PATHS_BYTES];      /* quarantine/: records that the store couldn't take */
    char direct[PATHS_BYTES];          /* policy/: spools of Postfix servers that ask the hub itself */
    char export[PATHS_BYTES];          /* export/: files that are being read out, without names */
    char control[PATHS_BYTES];         /* control.sock, or the setting */
    char pid_file[PATHS_BYTES];        /* the setting, or in the runtime directory (pidfile.h); "": none */
};

/* ERR_CONFIG: a path is too long, or a certificate without its key. */
MUST_CHECK int paths_of(const struct hub_config *settings, struct hub_paths *out, struct err *err);

/* Makes the data directory (0750) and, for the hub, the directories in it (0700) but the store's:
 * that one is the engine's affair, and a store that can't be opened stops nobody. ERR_DENIED, ERR_NOT_FOUND
 * (its parent is missing), ERR_FULL, ERR_CONFIG (no directory), ERR_CORRUPT (a backup is restored
 * there only in part). */
MUST_CHECK int paths_make(const struct hub_paths *paths, bool all, struct err *err);

#endif
