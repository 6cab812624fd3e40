/* SPDX-License-Identifier: Apache-2.0
 *
 * originals: reads the hub's journal for whoever wants its records as Postfix sent them (api/raw.h): those of
 * one tenant, once each, without what a tombstone covers, whether it is scrubbed yet or not. A reader of its
 * own for each page, closed before anything is sent: the journal retires and removes segments as if nobody
 * read, and a client that is slow keeps none of their blocks. What was removed before it was read is told as
 * a gap, and so is what can't be read, as nobody knows whose it was.
 */
#ifndef HUB_ORIGINALS_H
#define HUB_ORIGINALS_H

#include "account/account.h"
#include "api/raw.h"

enum { ORIGINALS_SCAN_BYTES = 64 * 1024 * 1024 }; /* of the journal, for one page */

/* Any thread. ERR_CONFLICT: the place is of another journal, or of what an older copy has replaced. ERR_IO,
 * ERR_NO_MEMORY, or what the page's calls answered. */
MUST_CHECK int originals_read(struct journal *journal, struct account *account, struct raw_page *page,
                              struct err *err);

#endif
