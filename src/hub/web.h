/* SPDX-License-Identifier: Apache-2.0
 *
 * web: what the hub answers over HTTP (http/http.h): the routes of the api under /api/v1 for API keys and
 * for people who are logged in (caller.h), live push for both (live_door.h), and for everybody /healthz (the
 * process answers), /readyz (it can answer questions) and /metrics (the Prometheus text, for this machine:
 * what comes through a proxy gets 404). The tenant comes from the key and from nothing else; a thing of
 * another tenant answers as one that isn't there.
 */
#ifndef HUB_WEB_H
#define HUB_WEB_H

#include "api/api.h"
#include "http/http.h"
#include "ingest.h"
#include "live.h"
#include "paths.h"

enum { WEB_REQUEST_BEYOND_MS = 10000 }; /* queue and handler together, beyond a question's own time limit */

struct web;

struct web_stats { /* see struct http_counters */
    uint64_t connections, turned_away, requests, refused, timeouts, abandoned, floods;
};

struct web_options {
    const struct hub_config *settings;
    const struct hub_paths *paths; /* outlive the web */
    struct ingest *ingest;         /* for POST /api/v1/ingest */
    struct api_context context;    /* account and store are ignored, see web_set_store */
    struct live *live;             /* outlives the web; NULL: there is no /api/v1/live */
    /* Loop thread. ready: 0, or not, with why. */
    int (*ready)(void *arg, char *why, size_t size);
    int (*metrics)(void *arg, struct buf *text);
    void *arg;
};

/* Loop thread. As http_open. */
MUST_CHECK int web_open(struct web **out, uv_loop_t *loop, const struct web_options *options,
                        struct err *err);
/* The certificate is read anew. Safe on NULL. */
void web_reload(struct web *web);
/* No more requests; those at a handler are answered while the loop runs. Safe on NULL. */
void web_stop(struct web *web);
void web_destroy(struct web **web); /* after the loop ran out; nulls *web; safe on NULL */

/* The store for questions from now on; NULL: none. It must outlive the handlers. Loop thread. */
void web_set_store(struct web *web, struct store *store);
void web_get_stats(const struct web *web, struct web_stats *out); /* any thread */

#endif
