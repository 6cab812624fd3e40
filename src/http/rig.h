/* SPDX-License-Identifier: Apache-2.0
 *
 * rig: a real server on a loop of its own thread, at a unix socket, and plain clients for it. For tests only.
 */
#ifndef HTTP_RIG_H
#define HTTP_RIG_H

#include "base/test.h"
#include "http.h"

#include <pthread.h>

enum { RIG_PATIENCE_MS = 60000, RIG_STREAMS = 2 };

struct rig {
    char dir[32], address[64];
    uv_loop_t loop;
    uv_async_t stop;
    struct http *http;
    struct http_counters counters;
    pthread_t thread;
};

/* arg: of the handlers. */
void rig_open(struct rig *rig, const struct http_route *routes, size_t route_count, void *arg,
              uint64_t reply_ms, uint64_t ping_ms);
void rig_close(struct rig *rig); /* as the hub stops: returns when everything has ended */

int rig_ask(const struct rig *rig, const char *request); /* a connection that has sent it */
/* What comes until `end` was read, or the server's end; false when it was a reset. */
bool rig_read(int fd, const char *end, char *text, size_t size);
void rig_wait(const atomic_int *number, int wanted);

#endif
