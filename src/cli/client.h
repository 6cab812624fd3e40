/* SPDX-License-Identifier: Apache-2.0
 *
 * client: asks the running hub through its control socket; when none runs, the same handlers run in this
 * process on the account file (questions to the store then answer ERR_UNAVAILABLE).
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "cli.h"

enum { CLIENT_PATH_BYTES = 2048, CLIENT_HEAD_BYTES = 16384, CLIENT_REPLY_BYTES = 40 * 1024 * 1024 };

/* The reply's document in *out (json_decref it). A problem document becomes its code, cli->err says its
 * detail, and *index (may be NULL) the item at fault, -1 without one. */
MUST_CHECK int client_ask(struct cli *cli, const char *method, const char *path, struct slice body,
                          json_t **out, long *index);

/* The same for what may change a tenant's rules: when the hub names tenants whose older events keep their
 * labels, stderr says what to do. */
MUST_CHECK int client_change(struct cli *cli, const char *method, const char *path, struct slice body,
                             json_t **out, long *index);

/* A GET whose reply is no JSON document: its body as it came. Problems as above. */
MUST_CHECK int client_fetch(struct cli *cli, const char *path, struct buf *body);

/* The same, and the head of the reply as it came, with its last line's end. */
MUST_CHECK int client_fetch_whole(struct cli *cli, const char *path, struct buf *head, struct buf *body);

/* Appends "?name=value" or "&name=value", percent-encoded. ERR_LIMIT. Nothing to do for a NULL value. */
MUST_CHECK int client_parameter(char path[CLIENT_PATH_BYTES], const char *name, const char *value);
/* Appends one percent-encoded part to a path. */
MUST_CHECK int client_segment(char path[CLIENT_PATH_BYTES], const char *value);

/* ERR_UNAVAILABLE when no hub listens on the control socket, ERR_DENIED when it isn't ours to ask. */
MUST_CHECK int client_connect(struct cli *cli, int *fd);

#endif
