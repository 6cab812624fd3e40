/* SPDX-License-Identifier: Apache-2.0
 *
 * clock: see clock.h. Time stamps are read and written as RFC 3339 has them.
 */
#include "clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return now.tv_sec * US_PER_SECOND + now.tv_nsec / 1000;
}

int64_t clock_real_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_monotonic_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

void clock_format(int64_t ts_us, char *out)
{
    int64_t second = ts_us / US_PER_SECOND, us = ts_us % US_PER_SECOND;
    if (us < 0) {
        us += US_PER_SECOND;
        second--;
    }
    time_t t = (time_t)second;
    struct tm tm;
    gmtime_r(&t, &tm);
    size_t n = strftime(out, CLOCK_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out + n, CLOCK_TEXT_BYTES - n, ".%06ldZ", (long)us);
}

/* Two digits at p within 0..max. */
static bool two(const char *p, int max, int *out)
{
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
        return false;
    *out = (p[0] - '0') * 10 + (p[1] - '0');
    return *out <= max;
}

static bool parse_date(const char *p, struct tm *tm)
{
    int century, year;
    if (!two(p, 99, &century) || !two(p + 2, 99, &year) || p[4] != '-' || !two(p + 5, 12, &tm->tm_mon) ||
        p[7] != '-' || !two(p + 8, 31, &tm->tm_mday) || tm->tm_mon < 1 || tm->tm_mday < 1)
        return false;
    tm->tm_year = century * 100 + year - 1900;
    tm->tm_mon--;
    int day = tm->tm_mday;
    (void)timegm(tm); /* normalises; 30 February moves */
    return tm->tm_mday == day;
}

static bool parse_fraction(const char **p, const char *end, int64_t *us)
{
    int64_t scale = US_PER_SECOND / 10;
    *us = 0;
    if (*p == end || **p != '.')
        return true;
    const char *first = ++*p;
    for (; *p < end && **p >= '0' && **p <= '9'; ++*p, scale /= 10)
        *us += (**p - '0') * scale;
    return *p > first;
}

static bool parse_zone(const char *p, const char *end, int64_t *offset_s)
{
    int hours, minutes;
    *offset_s = 0;
    if (end - p == 1 && (*p == 'Z' || *p == 'z'))
        return true;
    if (end - p != 6 || (*p != '+' && *p != '-') || !two(p + 1, 23, &hours) || p[3] != ':' ||
        !two(p + 4, 59, &minutes))
        return false;
    *offset_s = (hours * 3600 + minutes * 60) * (*p == '-' ? -1 : 1);
    return true;
}

int clock_parse(struct slice s, int64_t *ts_us)
{
    struct tm tm = {0};
    int64_t us = 0, offset_s = 0;
    if (s.n < 10 || !parse_date(s.p, &tm))
        return ERR_INVALID;
    if (s.n > 10) {
        const char *p = s.p + 11, *end = s.p + s.n;
        if (s.n < 20 || (s.p[10] != 'T' && s.p[10] != 't' && s.p[10] != ' ') || !two(p, 23, &tm.tm_hour) ||
            p[2] != ':' || !two(p + 3, 59, &tm.tm_min) || p[5] != ':' || !two(p + 6, 60, &tm.tm_sec))
            return ERR_INVALID;
        p += 8;
        if (!parse_fraction(&p, end, &us) || !parse_zone(p, end, &offset_s))
            return ERR_INVALID;
    }
    *ts_us = ((int64_t)timegm(&tm) - offset_s) * US_PER_SECOND + us;
    return 0;
}
