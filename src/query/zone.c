/* SPDX-License-Identifier: Apache-2.0
 *
 * zone: see zone.h. Of a file only the 64-bit part counts, and behind its last change the rule at its end (a
 * POSIX TZ text such as "CET-1CEST,M3.5.0,M10.5.0/3"), which holds for ever. Files that count leap
 * seconds are refused: our clocks have none.
 */
#include "query/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ZONES "/usr/share/zoneinfo/"
#define DAY_S INT64_C(86400)
enum { HEADER_BYTES = 44, CHANGES = 10000, SAME_CHANGES = 200 };

/* A day of each year and the time of day: kind 'M' (month, week, weekday), 'J' (day, no 29 February) or 'n'.
 */
struct rule_day {
    char kind;
    unsigned month, week, day;
    int64_t time_s;
};

struct zone {
    size_t count;
    int64_t *at;     /* seconds since 1970; the changes of the file */
    int32_t *offset; /* from at[i] on, seconds ahead of UTC */
    int32_t first;   /* before the first change */
    bool has_rule, has_summer;
    int32_t standard, summer;
    struct rule_day begin, end; /* of summer time */
};

int64_t zone_days(int64_t year, unsigned month, unsigned day)
{
    int64_t y = month <= 2 ? year - 1 : year, era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    int64_t of_year =
        (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1; /* from 1 March */
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void zone_date(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    int64_t y = 1970 + days / 366; /* below or at it; climbs */
    y -= days < 0;
    while (zone_days(y + 1, 1, 1) <= days)
        y++;
    while (zone_days(y, 1, 1) > days)
        y--;
    unsigned m = 1;
    while (m < 12 && zone_days(y, m + 1, 1) <= days)
        m++;
    *year = y;
    *month = m;
    *day = (unsigned)(days - zone_days(y, m, 1)) + 1;
}

static bool take(struct slice *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    s->p++;
    s->n--;
    return true;
}

static bool take_number(struct slice *s, unsigned max, unsigned *out)
{
    size_t n = 0;
    unsigned value = 0;
    for (; n < s->n && s->p[n] >= '0' && s->p[n] <= '9' && value <= max; n++)
        value = value * 10 + (unsigned)(s->p[n] - '0');
    *s = (struct slice){s->p + n, s->n - n};
    *out = value;
    return n > 0 && value <= max;
}

/* "CET" or "<+0530>" */
static bool take_name(struct slice *s)
{
    size_t n = 0;
    if (take(s, '<')) {
        while (n < s->n && s->p[n] != '>')
            n++;
        *s = (struct slice){s->p + n, s->n - n};
        return take(s, '>');
    }
    while (n < s->n && ((s->p[n] | 0x20) >= 'a' && (s->p[n] | 0x20) <= 'z'))
        n++;
    *s = (struct slice){s->p + n, s->n - n};
    return n >= 3;
}

/* "-5:30" → seconds; RFC 9636 lets a rule's time go from -167 to 167 hours. */
static bool take_time(struct slice *s, int64_t *out)
{
    unsigned part[3] = {0};
    bool minus = take(s, '-');
    if (!minus)
        (void)take(s, '+');
    if (!take_number(s, 167, &part[0]))
        return false;
    for (int i = 1; i < 3 && take(s, ':'); i++)
        if (!take_number(s, 59, &part[i]))
            return false;
    *out = (int64_t)part[0] * 3600 + part[1] * 60 + part[2];
    if (minus)
        *out = -*out;
    return true;
}

/* ",M3.5.0/2" */
static bool take_day(struct slice *s, struct rule_day *out)
{
    *out = (struct rule_day){.kind = 'n', .time_s = 2 * 3600};
    if (!take(s, ','))
        return false;
    if (take(s, 'M')) {
        out->kind = 'M';
        if (!take_number(s, 12, &out->month) || out->month == 0 || !take(s, '.') ||
            !take_number(s, 5, &out->week) || out->week == 0 || !take(s, '.') ||
            !take_number(s, 6, &out->day))
            return false;
    } else {
        out->kind = take(s, 'J') ? 'J' : 'n';
        if (!take_number(s, 365, &out->day) || (out->kind == 'J' && out->day == 0))
            return false;
    }
    return !take(s, '/') || take_time(s, &out->time_s);
}

static bool parse_rule(struct slice s, struct zone *zone)
{
    int64_t west;
    if (!take_name(&s) || !take_time(&s, &west))
        return false;
    zone->standard = (int32_t)-west;
    zone->has_rule = true;
    if (s.n == 0)
        return true;
    west -= 3600;
    if (!take_name(&s) || (s.n > 0 && s.p[0] != ',' && !take_time(&s, &west)))
        return false;
    zone->summer = (int32_t)-west;
    zone->has_summer = true;
    return take_day(&s, &zone->begin) && take_day(&s, &zone->end) && s.n == 0;
}

static int64_t be(const char *p, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value << 8 | (unsigned char)p[i];
    return n == 4 ? (int32_t)(uint32_t)value : (int64_t)value;
}

/* The header's counts: isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt. */
static bool read_header(struct slice *s, size_t counts[6])
{
    if (s->n < HEADER_BYTES || memcmp(s->p, "TZif", 4) != 0 || s->p[4] < '2')
        return false;
    for (size_t i = 0; i < 6; i++) {
        int64_t count = be(s->p + 20 + 4 * i, 4);
        if (count < 0 || count > CHANGES)
            return false;
        counts[i] = (size_t)count;
    }
    *s = (struct slice){s->p + HEADER_BYTES, s->n - HEADER_BYTES};
    return true;
}

static size_t body_bytes(const size_t c[6], size_t time_bytes)
{
    return c[3] * time_bytes + c[3] + c[4] * 6 + c[5] + c[2] * (time_bytes + 4) + c[1] + c[0];
}

static bool read_changes(struct zone *zone, const char *p, const size_t counts[6])
{
    size_t changes = counts[3], types = counts[4];
    const char *index = p + changes * 8, *type = index + changes;
    if (types == 0)
        return false;
    zone->first = (int32_t)be(type, 4);
    for (size_t i = 0; i < changes; i++) {
        if ((unsigned char)index[i] >= types)
            return false;
        zone->at[i] = be(p + i * 8, 8);
        zone->offset[i] = (int32_t)be(type + (size_t)(unsigned char)index[i] * 6, 4);
        if ((i > 0 && zone->at[i] <= zone->at[i - 1]) || labs(zone->offset[i]) > 2 * DAY_S)
            return false;
    }
    zone->count = changes;
    return labs(zone->first) <= 2 * DAY_S;
}

static int read_file(struct zone *zone, struct slice s)
{
    size_t counts[6];
    if (!read_header(&s, counts) || s.n < body_bytes(counts, 4))
        return ERR_CORRUPT;
    s = (struct slice){s.p + body_bytes(counts, 4), s.n - body_bytes(counts, 4)};
    if (!read_header(&s, counts) || counts[2] > 0 || s.n < body_bytes(counts, 8) + 2)
        return ERR_CORRUPT;
    zone->at = calloc(counts[3] + 1, sizeof *zone->at);
    zone->offset = calloc(counts[3] + 1, sizeof *zone->offset);
    if (zone->at == NULL || zone->offset == NULL)
        return ERR_NO_MEMORY;
    if (!read_changes(zone, s.p, counts))
        return ERR_CORRUPT;
    s = (struct slice){s.p + body_bytes(counts, 8), s.n - body_bytes(counts, 8)};
    if (s.p[0] != '\n' || s.p[s.n - 1] != '\n')
        return ERR_CORRUPT;
    s = (struct slice){s.p + 1, s.n - 2};
    return s.n == 0 || parse_rule(s, zone) ? 0 : ERR_CORRUPT;
}

int zone_parse(struct slice file, struct zone **out)
{
    struct zone *zone = calloc(1, sizeof *zone);
    int rc = zone == NULL ? ERR_NO_MEMORY : read_file(zone, file);
    if (rc != 0)
        zone_close(&zone);
    *out = zone;
    return rc;
}

void zone_close(struct zone **zone)
{
    if (*zone == NULL)
        return;
    free((*zone)->at);
    free((*zone)->offset);
    free(*zone);
    *zone = NULL;
}

/* Letters, digits and _ + - in parts between single slashes: never a way out of the directory. */
static bool is_name(struct slice name)
{
    bool part = false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i], lower = c | 0x20;
        bool word =
            (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '+' || c == '-';
        if (!word && (c != '/' || !part))
            return false;
        part = word;
    }
    return part && name.n < ZONE_NAME_BYTES;
}

int zone_open(struct slice name, struct zone **out, struct err *err)
{
    char path[sizeof ZONES + ZONE_NAME_BYTES];
    *out = NULL;
    if (!is_name(name))
        return err_set(err, ERR_INVALID, "a zone's name such as Europe/Paris or UTC");
    (void)snprintf(path, sizeof path, ZONES "%.*s", (int)name.n, name.p);
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? err_set(err, ERR_INVALID, "this system knows no zone of that name%s",
                             access(ZONES "Europe/Paris", R_OK) != 0 ? "; install the package tzdata" : "")
                   : err_errno(err, errno, "%s can't be opened", path);
    char *bytes = malloc(ZONE_FILE_BYTES);
    ssize_t n = bytes != NULL ? read(file, bytes, ZONE_FILE_BYTES) : 0;
    int rc = bytes == NULL ? ERR_NO_MEMORY
             : n > 0       ? zone_parse((struct slice){bytes, (size_t)n}, out)
                           : ERR_CORRUPT;
    free(bytes);
    (void)close(file);
    return rc != 0 ? err_set(err, rc == ERR_CORRUPT ? ERR_INVALID : rc, "not a zone of this system's tzdata")
                   : 0;
}

/* When the rule's day begins in that year, on a clock that is offset ahead of UTC. */
static int64_t rule_moment(const struct rule_day *day, int64_t year, int32_t offset)
{
    int64_t days = zone_days(year, 1, 1) + (int64_t)day->day;
    if (day->kind == 'J') {
        bool leap = zone_days(year, 3, 1) - zone_days(year, 2, 1) == 29;
        days += (leap && day->day >= 60 ? 1 : 0) - 1;
    } else if (day->kind == 'M') {
        int64_t first = zone_days(year, day->month, 1);
        int64_t behind = day->month == 12 ? zone_days(year + 1, 1, 1) : zone_days(year, day->month + 1, 1);
        int64_t weekday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday; Sunday is 0 */
        days = first + ((int64_t)day->day - weekday + 7) % 7 + ((int64_t)day->week - 1) * 7;
        while (days >= behind)
            days -= 7;
    }
    return days * DAY_S + day->time_s - offset;
}

/* By the rule: the offset at t, and the first change behind it. */
static int32_t by_rule(const struct zone *zone, int64_t t, int64_t *next, bool *changes)
{
    int64_t year, last = INT64_MIN;
    unsigned month, day;
    int32_t offset = zone->standard;
    *changes = false;
    if (!zone->has_summer)
        return offset;
    zone_date((t >= 0 ? t : t - DAY_S + 1) / DAY_S, &year, &month, &day);
    for (int64_t y = year - 1; y <= year + 1; y++)
        for (int summer = 0; summer < 2; summer++) {
            int64_t at = summer ? rule_moment(&zone->begin, y, zone->standard)
                                : rule_moment(&zone->end, y, zone->summer);
            if (at <= t && at > last) {
                last = at;
                offset = summer ? zone->summer : zone->standard;
            } else if (at > t && (!*changes || at < *next)) {
                *next = at;
                *changes = true;
            }
        }
    return offset;
}

/* The last change of the file at or before t; count when there is none. */
static size_t find(const struct zone *zone, int64_t t)
{
    size_t low = 0, high = zone->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->at[middle] <= t)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? low - 1 : zone->count;
}

static int64_t seconds_of(int64_t ts)
{
    return (ts >= 0 ? ts : ts - US_PER_SECOND + 1) / US_PER_SECOND;
}

/* Behind the last change of the file the rule speaks, where there is one. */
static int32_t offset_at(const struct zone *zone, int64_t t, int64_t *next, bool *changes)
{
    size_t at = find(zone, t);
    if (zone->has_rule && (zone->count == 0 || at == zone->count - 1))
        return by_rule(zone, t, next, changes);
    size_t behind = at == zone->count ? 0 : at + 1;
    *changes = behind < zone->count;
    if (*changes)
        *next = zone->at[behind];
    return at == zone->count ? zone->first : zone->offset[at];
}

int64_t zone_offset_us(const struct zone *zone, int64_t ts)
{
    int64_t next;
    bool changes;
    return offset_at(zone, seconds_of(ts), &next, &changes) * US_PER_SECOND;
}

bool zone_next_change(const struct zone *zone, int64_t ts, int64_t *out)
{
    int64_t t = seconds_of(ts), next = 0, unused;
    bool changes, again;
    int32_t offset = offset_at(zone, t, &next, &changes);
    /* Some only change the name, a rule even for ever. */
    for (int i = 0; changes && offset_at(zone, next, &unused, &again) == offset; i++) {
        if (i == SAME_CHANGES)
            return false;
        changes = again;
        next = unused;
    }
    *out = next * US_PER_SECOND;
    return changes;
}
