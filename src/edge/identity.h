/* SPDX-License-Identifier: Apache-2.0
 *
 * identity: what this edge is called, where its things lie, and how it greets the hub. Made from the settings
 * once at start and once for each reload; immutable afterwards and free of pointers into them, so that the
 * uplink's thread may use it while the settings change.
 */
#ifndef EDGE_IDENTITY_H
#define EDGE_IDENTITY_H

#include "config/config.h"
#include "loop/process.h"
#include "uplink.h"
#include "wire/batch.h"

enum { IDENTITY_PATH_BYTES = 4096, IDENTITY_TEXT_BYTES = 1024 };

struct identity {
    char edge_id[BATCH_EDGE_BYTES + 1];
    char spool_dir[IDENTITY_PATH_BYTES]; /* the journal, below the setting spool */
    char key_file[IDENTITY_PATH_BYTES];
    char pid_file[IDENTITY_PATH_BYTES];
    char pid_file_in_spool[IDENTITY_PATH_BYTES]; /* where it lies without a runtime directory */
    char runtime_dirs[PROCESS_RUNTIME_DIRS][PROCESS_DIR_BYTES];
    char server[IDENTITY_TEXT_BYTES], server_key[IDENTITY_TEXT_BYTES], api_key[IDENTITY_TEXT_BYTES];
    char https_server[IDENTITY_TEXT_BYTES], https_pin[IDENTITY_TEXT_BYTES], https_ca[IDENTITY_TEXT_BYTES];
    char https_proxy[IDENTITY_TEXT_BYTES], via_ssh[IDENTITY_TEXT_BYTES];
    char ssh_key[IDENTITY_PATH_BYTES], ssh_known_hosts[IDENTITY_PATH_BYTES], ssh_socket[IDENTITY_PATH_BYTES];
    struct uplink_options uplink; /* points into this struct */
};

/* ERR_CONFIG: the edge id or a path is too long, one key is set without the other, or what HTTPS needs is
 * missing or wrong. ERR_NO_MEMORY. */
MUST_CHECK int identity_create(struct identity **out, const struct proxy_config *settings, struct err *err);
void identity_destroy(struct identity **identity); /* nulls *identity; safe on NULL */

/* What to do when it can't. */
#define IDENTITY_MISSING                                                                                     \
    "server_key and api_key are not set (ask the hub: `mail-analytics key`, `mail-analytics apikey add`)"

/* Can it greet a hub? Without the keys it only spools. */
bool identity_can_greet(const struct identity *identity);

/* Is it the same hub and the same greeting? */
bool identity_equal(const struct identity *a, const struct identity *b);

/* A host name as an edge id: letters, digits, '.', '-', '_' as they are, others as '-'; "edge" when nothing
 * is left. Pure. */
void identity_make_safe(struct slice host, char out[static BATCH_EDGE_BYTES + 1]);

/* The directories where the ring may lie, as spool_options wants them: SPOOL_RING_DIRS, borrowed from
 * *identity. */
void identity_ring_dirs(const struct identity *identity, const char **dirs);

/* Makes the setting spool's directory when it is missing (0700), and gives it to the setting user. */
MUST_CHECK int identity_prepare_directory(const struct proxy_config *settings, struct err *err);

#endif
