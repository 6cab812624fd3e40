/* SPDX-License-Identifier: Apache-2.0
 *
 * wake: an eventfd that may be written by a listener which cannot be unregistered (spool_on_sync): the object
 * outlives its use, so that a late call finds a closed door and not freed memory.
 */
#ifndef EDGE_WAKE_H
#define EDGE_WAKE_H

#include "base/err.h"

#include <stdint.h>

struct wake;

/* One for each owner (16 bytes, such as the epoch of the spool's journal): a shut wake of the same owner is
 * opened again, and *known says that it is registered already. */
enum { WAKE_OWNER_BYTES = 16 };
MUST_CHECK int wake_open(struct wake **out, const uint8_t owner[WAKE_OWNER_BYTES], bool *known,
                         struct err *err);
void wake_shut(struct wake **wake); /* later wake_up calls do nothing */
void wake_up(void *wake);           /* any thread, never blocks */
int wake_fd(const struct wake *wake);
void wake_drain(struct wake *wake);

#endif
