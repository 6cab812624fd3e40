/* SPDX-License-Identifier: Apache-2.0
 *
 * when: see when.h.
 */
#include "query/when.h"

#define DAY_US (24 * 3600 * US_PER_SECOND)
enum { DATE_BYTES = 10, STEP_MAX = 100000, MONTHS_MAX = 1200 };

int64_t when_reading(const struct zone *zone, int64_t ts)
{
    return ts + (zone != NULL ? zone_offset_us(zone, ts) : 0);
}

int64_t when_shown(const struct zone *zone, int64_t reading)
{
    if (zone == NULL)
        return reading;
    int64_t before = zone_offset_us(zone, reading - DAY_US), change;
    bool changes = zone_next_change(zone, reading - DAY_US, &change);
    int64_t behind = changes ? zone_offset_us(zone, change) : before;
    if (!changes || change + before > reading || (change + before == reading && behind > before))
        return reading - before;
    return change + behind >= reading ? change : reading - behind;
}

static int64_t floor_day(int64_t reading)
{
    return (reading >= 0 ? reading : reading - DAY_US + 1) / DAY_US;
}

static int64_t days_of_month(int64_t year, unsigned month)
{
    int64_t next = month < 12 ? zone_days(year, month + 1, 1) : zone_days(year + 1, 1, 1);
    return next - zone_days(year, month, 1);
}

int64_t when_add_months(int64_t reading, int64_t months)
{
    int64_t days = floor_day(reading), year;
    unsigned month, day;
    zone_date(days, &year, &month, &day);
    int64_t all = year * 12 + month - 1 + months;
    int64_t last = days_of_month(all / 12, (unsigned)(all % 12) + 1);
    int64_t moved = zone_days(all / 12, (unsigned)(all % 12) + 1, 1) + (day < last ? day : last) - 1;
    return moved * DAY_US + reading - days * DAY_US;
}

/* "24h" behind a sign: *count and its unit. */
static bool take_step(struct slice *rest, int64_t *count, char *unit)
{
    size_t n = 0;
    uint64_t number;
    while (n < rest->n && rest->p[n] >= '0' && rest->p[n] <= '9')
        n++;
    if (n == rest->n || text_to_u64((struct slice){rest->p, n}, STEP_MAX, &number) != 0)
        return false;
    *count = (int64_t)number;
    *unit = rest->p[n];
    *rest = (struct slice){rest->p + n + 1, rest->n - n - 1};
    return true;
}

static int move(const struct zone *zone, int64_t count, char unit, int64_t *ts)
{
    int64_t reading = when_reading(zone, *ts);
    switch (unit) {
    case 's':
        *ts += count * US_PER_SECOND;
        return 0;
    case 'm':
        *ts += count * 60 * US_PER_SECOND;
        return 0;
    case 'h':
        *ts += count * 3600 * US_PER_SECOND;
        return 0;
    case 'd':
    case 'w':
        *ts = when_shown(zone, reading + count * (unit == 'w' ? 7 : 1) * DAY_US);
        return 0;
    case 'M':
    case 'y':
        count *= unit == 'y' ? 12 : 1;
        if (count < -MONTHS_MAX || count > MONTHS_MAX)
            return ERR_INVALID;
        *ts = when_shown(zone, when_add_months(reading, count));
        return 0;
    default:
        return ERR_INVALID;
    }
}

/* Down to where a unit of the clocks begins. */
static int go_down(const struct zone *zone, char unit, unsigned first_day, int64_t *ts)
{
    int64_t reading = when_reading(zone, *ts), days = floor_day(reading), year;
    unsigned month, day;
    zone_date(days, &year, &month, &day);
    switch (unit) {
    case 'm':
        *ts -= ((reading % (60 * US_PER_SECOND)) + 60 * US_PER_SECOND) % (60 * US_PER_SECOND);
        return 0;
    case 'h':
        *ts -= ((reading % (3600 * US_PER_SECOND)) + 3600 * US_PER_SECOND) % (3600 * US_PER_SECOND);
        return 0;
    case 'd':
        break;
    case 'w': /* 1970-01-01 was a Thursday */
        days -= ((days + 3 - (int64_t)first_day) % 7 + 7) % 7;
        break;
    case 'M':
        days = zone_days(year, month, 1);
        break;
    case 'y':
        days = zone_days(year, 1, 1);
        break;
    default:
        return ERR_INVALID;
    }
    *ts = when_shown(zone, days * DAY_US);
    return 0;
}

static int parse_relative(struct slice rest, const struct zone *zone, unsigned first_day, int64_t *ts)
{
    int rc = 0;
    while (rc == 0 && rest.n > 0 && (rest.p[0] == '-' || rest.p[0] == '+')) {
        int64_t count;
        char unit;
        bool back = rest.p[0] == '-';
        rest = (struct slice){rest.p + 1, rest.n - 1};
        rc = take_step(&rest, &count, &unit) ? move(zone, back ? -count : count, unit, ts) : ERR_INVALID;
        if (rc == 0 && (*ts < 0 || *ts > INT64_C(253402300800000000)))
            rc = ERR_INVALID;
    }
    if (rc == 0 && rest.n == 2 && rest.p[0] == '/')
        return go_down(zone, rest.p[1], first_day, ts);
    return rc != 0 || rest.n > 0 ? ERR_INVALID : 0;
}

int when_parse(struct slice text, int64_t now_us, const struct zone *zone, unsigned first_day, int64_t *out)
{
    if (text.n >= 3 && memcmp(text.p, "now", 3) == 0) {
        *out = now_us;
        return parse_relative((struct slice){text.p + 3, text.n - 3}, zone, first_day, out);
    }
    int rc = clock_parse(text, out);
    if (rc == 0 && text.n == DATE_BYTES)
        *out = when_shown(zone, *out);
    return rc;
}
