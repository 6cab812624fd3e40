/* SPDX-License-Identifier: Apache-2.0
 *
 * scrape: answers GET /metrics and nothing else, on loopback only. Bounds: SCRAPE_CONNECTIONS at once,
 * SCRAPE_TIMEOUT_MS for the request and for its answer each, SCRAPE_TEXT_BYTES for the text; the others are
 * visit.h's. Loop thread.
 */
#ifndef LOOP_SCRAPE_H
#define LOOP_SCRAPE_H

#include "acceptor.h"
#include "base/buf.h"

enum {
    SCRAPE_CONNECTIONS = 16,
    SCRAPE_TIMEOUT_MS = 5000,
    SCRAPE_TEXT_BYTES = 256 * 1024,
};

struct scrape;

/* Writes the Prometheus text into out. ERR_LIMIT, ERR_NO_MEMORY: the scraper gets 500. */
typedef int (*scrape_render)(void *arg, struct buf *out);

/* address as endpoint_parse takes it. ERR_CONFIG (no loopback address), and as endpoint_listen. */
MUST_CHECK int scrape_open(struct scrape **out, uv_loop_t *loop, const char *address, scrape_render render,
                           void *arg, struct err *err);
void scrape_close(struct scrape **scrape); /* nulls *scrape; safe on NULL */

const struct endpoint *scrape_endpoint(const struct scrape *scrape);

#endif
