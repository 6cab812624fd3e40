/* SPDX-License-Identifier: Apache-2.0
 *
 * clock: the two clocks. Time stamps are signed microseconds since 1970-01-01 UTC and end in _us or are named
 * ts; intervals are measured on the monotonic clock only. Any thread.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "text.h"

#define US_PER_SECOND INT64_C(1000000)

int64_t clock_real_us(void);      /* wall clock, may jump */
int64_t clock_monotonic_us(void); /* never goes back; zero point unknown */

/* "2026-03-12T14:05:09.120000Z" (RFC 3339, UTC); out takes CLOCK_TEXT_BYTES. */
enum { CLOCK_TEXT_BYTES = 40 };
void clock_format(int64_t ts_us, char *out);

/* RFC 3339 date-time with 'Z' or an offset, or a bare date (midnight UTC) → microseconds; ERR_INVALID. */
MUST_CHECK int clock_parse(struct slice s, int64_t *ts_us);

#endif
