/* SPDX-License-Identifier: Apache-2.0
 *
 * zone: what the clocks of a place show, from the system's time zone data (TZif, RFC 9636). Read here and not
 * asked of an engine, so that every engine cuts days alike; and not through TZ and tzset, which a program of
 * many threads can't change. An open zone never changes: any thread.
 */
#ifndef QUERY_ZONE_H
#define QUERY_ZONE_H

#include "base/clock.h"

enum { ZONE_NAME_BYTES = 64, ZONE_FILE_BYTES = 256 * 1024 };

struct zone;

/* An IANA name such as Europe/Paris. ERR_INVALID (no such name), ERR_CORRUPT, ERR_NO_MEMORY, ERR_IO. */
MUST_CHECK int zone_open(struct slice name, struct zone **out, struct err *err);
/* The same from the bytes of a TZif file. Pure. ERR_CORRUPT, ERR_NO_MEMORY. */
MUST_CHECK int zone_parse(struct slice file, struct zone **out);
void zone_close(struct zone **zone);

/* How far the clocks are ahead of UTC at ts. */
int64_t zone_offset_us(const struct zone *zone, int64_t ts);

/* When that changes next, after ts; false: never again. */
bool zone_next_change(const struct zone *zone, int64_t ts, int64_t *out);

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar, month 1 to 12, and back. */
int64_t zone_days(int64_t year, unsigned month, unsigned day);
void zone_date(int64_t days, int64_t *year, unsigned *month, unsigned *day);

#endif
