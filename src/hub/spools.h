/* SPDX-License-Identifier: Apache-2.0
 *
 * spools: takes out of the spools of Postfix servers that ask the hub itself (inlet.h) what the hub has
 * acknowledged, and so keeps, or has erased, elsewhere. Such requests would stay until their segment is full,
 * on a quiet host for months. A segment is sealed; when all of it is acknowledged it goes within seconds,
 * else what is acknowledged in it is overwritten. Spools that nobody has open (of addresses that no API key
 * names any more) are opened for this. What the hub has yet to take stays, unless its tenant is gone.
 */
#ifndef HUB_SPOOLS_H
#define HUB_SPOOLS_H

#include "hub/direct.h"

#include <stdatomic.h>

/* dir: of all inlets, which need not be there; direct: who has some of them open (NULL: nobody). *waiting:
 * how many hold requests that the hub has yet to take, or were left as they are, because they are just being
 * opened or their disk hangs (the log says so). Takes some seconds; any thread but direct's, before
 * direct_stop. ERR_CANCELLED, errors of journal_open and journal_scrub. */
MUST_CHECK int spools_forget(const char *dir, struct direct *direct, struct account *account,
                             const atomic_bool *cancelled, uint64_t *waiting, struct err *err);

#endif
