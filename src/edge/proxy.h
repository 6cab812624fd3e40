/* SPDX-License-Identifier: Apache-2.0
 *
 * proxy: policy-proxy as a whole: the policy port (listener.h), the spool behind it (journal/spool.h), the
 * uplink that empties it (uplink.h), /metrics, signals, the supervisor. One thread runs the loop; the spool's
 * and the uplink's own threads do what may wait for a disk or a network, a worker does reloads.
 *
 * Mail comes first: start() gives the spool a second to open, so that an ordinary start loses nothing;
 * from then on mail is answered without it, each request counted in answered_lost, until opener.h has it
 * open. What only an operator can mend (ERR_CONFIG, ERR_DENIED, ERR_BUSY, ERR_FULL, a missing directory) ends
 * a start. The pid file comes before all that and may wait for its disk: it belongs on a tmpfs.
 *
 * open() binds and needs privileges; start() makes files and threads and comes after them; run() returns
 * after SIGTERM or SIGINT; close() is the mirror image: the uplink drains for a few seconds, the ring goes to
 * disk.
 */
#ifndef EDGE_PROXY_H
#define EDGE_PROXY_H

#include "config/config.h"

struct proxy;

/* Takes *config. ERR_CONFIG, ERR_BUSY (port), and as endpoint_listen. */
MUST_CHECK int proxy_open(struct proxy **out, struct config **config, struct err *err);
/* As spool_open and uplink_start, where it cannot mend itself. */
MUST_CHECK int proxy_start(struct proxy *proxy, struct err *err);
void proxy_run(struct proxy *proxy);
void proxy_close(struct proxy **proxy); /* nulls *proxy; safe on NULL */

#endif
