/* SPDX-License-Identifier: Apache-2.0
 *
 * share: how many of some few places each tenant holds, so that none holds them all: half of them at most,
 * and at least one. Any thread.
 */
#ifndef BASE_SHARE_H
#define BASE_SHARE_H

#include "base/err.h"

#include <stdint.h>

struct share;

/* Of so many places, 1 and more. ERR_NO_MEMORY. */
MUST_CHECK int share_create(struct share **out, unsigned places, struct err *err);
void share_destroy(struct share **share); /* safe on NULL */

/* One place for the tenant (0: the operator's people), to be given back. False: it has its half, or there is
 * none left. */
bool share_take(struct share *share, uint32_t tenant);
void share_give(struct share *share, uint32_t tenant);

#endif
