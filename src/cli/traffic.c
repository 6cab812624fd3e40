/* SPDX-License-Identifier: Apache-2.0
 *
 * traffic: see traffic.h. Four sources of mail (people, cron, newsletters, spam) and two stories, each with a
 * shape over time whose mean over a week is 1 and a mix of directions. A message's source is drawn by what
 * the sources' shapes are worth at that moment; names and sizes follow from the direction (traffic_names.c).
 * Arrivals are a Poisson process whose rate follows traffic_intensity, drawn by inversion over small steps.
 */
#include "traffic.h"

#include "base/clock.h"
#include "chance.h"
#include "traffic_names.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { HOUR_S = 3600, DAY_S = 86400, WEEK_S = 7 * DAY_S };

/* People by the hour in Paris; the peaks are 1. */
static const double people_hours[24] = {0.05, 0.05, 0.05, 0.05, 0.05, 0.06, 0.12, 0.35,
                                        0.75, 1.00, 1.00, 0.90, 0.65, 0.80, 1.00, 1.00,
                                        0.90, 0.75, 0.50, 0.30, 0.22, 0.18, 0.12, 0.08};
/* Sunday first. */
static const double people_days[7] = {0.18, 1.00, 1.00, 1.00, 1.00, 1.00, 0.22};
/* Holidays of the same date each year: month * 100 + day. */
static const int holidays[] = {101, 501, 508, 714, 815, 1101, 1111, 1225};

struct moment {
    int64_t second;    /* since 1970, local */
    int weekday, hour; /* Sunday is 0 */
    int minute, second_of_day;
    int month, day;
};

struct traffic {
    struct chance chance;
    uint64_t seed;
    int64_t story_end_us;
    double people_mean;
    unsigned drawn;
    struct traffic_names *names;
};

/* Days since 1970 → year, month, day of the Gregorian calendar. */
static void civil(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = (int)(yoe + era * 400 + (*month <= 2));
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Central European summer time: from the last Sunday of March to that of October, 01:00 UTC. */
static bool summer(int64_t utc_s)
{
    int year, month, day;
    int64_t days = floor_div(utc_s, DAY_S);
    civil(days, &year, &month, &day);
    if (month != 3 && month != 10)
        return month > 3 && month < 10;
    int weekday = (int)(((days + 4) % 7 + 7) % 7);
    int last_sunday = day - weekday;
    while (last_sunday + 7 <= 31)
        last_sunday += 7;
    bool behind = day > last_sunday || (day == last_sunday && utc_s - days * DAY_S >= HOUR_S);
    return (month == 3) == behind;
}

static struct moment moment_of(int64_t utc_s)
{
    struct moment m = {.second = utc_s + (summer(utc_s) ? 2 : 1) * HOUR_S};
    int64_t days = floor_div(m.second, DAY_S);
    int year;
    m.weekday = (int)(((days + 4) % 7 + 7) % 7);
    m.second_of_day = (int)(m.second - days * DAY_S);
    m.hour = m.second_of_day / HOUR_S;
    m.minute = m.second_of_day / 60 % 60;
    civil(days, &year, &m.month, &m.day);
    return m;
}

static double people_level(const struct moment *m)
{
    double day = people_days[m->weekday];
    for (size_t i = 0; i < sizeof holidays / sizeof *holidays; i++)
        if (holidays[i] == m->month * 100 + m->day)
            day = people_days[0];
    double at = (m->second_of_day % HOUR_S) / (double)HOUR_S;
    return day * (people_hours[m->hour] * (1 - at) + people_hours[(m->hour + 1) % 24] * at);
}

static double shape_people(const struct traffic *traffic, int64_t utc_s, const struct moment *m)
{
    (void)utc_s;
    return people_level(m) / traffic->people_mean;
}

static double shape_cron(const struct traffic *traffic, int64_t utc_s, const struct moment *m)
{
    (void)traffic, (void)utc_s;
    return m->minute < 2 ? 30.0 : 0.0;
}

static double shape_newsletter(const struct traffic *traffic, int64_t utc_s, const struct moment *m)
{
    (void)traffic, (void)utc_s;
    bool now = (m->weekday == 2 || m->weekday == 4) && m->hour == 10 && m->minute < 40;
    return now ? 7.0 * 24 * 60 / (2 * 40) : 0.0;
}

/* Flat, and in about every seventh hour a burst of 5 to 40 minutes. */
static double shape_spam(const struct traffic *traffic, int64_t utc_s, const struct moment *m)
{
    (void)m;
    int64_t hour = floor_div(utc_s, HOUR_S);
    uint64_t state = traffic->seed ^ (uint64_t)hour * UINT64_C(0xd1342543de82ef95);
    uint64_t luck = chance_mix(&state);
    if (luck % 100 >= 15)
        return 0.78;
    int64_t minutes = 5 + (int64_t)(chance_mix(&state) % 36), begin = (int64_t)(chance_mix(&state) % 20);
    int64_t minute = (utc_s - hour * HOUR_S) / 60;
    return minute >= begin && minute < begin + minutes ? 4.78 : 0.78;
}

static bool story(const struct traffic *traffic, int64_t utc_s, int days_ago, int hours)
{
    int64_t begin = traffic->story_end_us / US_PER_SECOND - (int64_t)days_ago * DAY_S;
    return traffic->story_end_us != 0 && utc_s >= begin && utc_s < begin + (int64_t)hours * HOUR_S;
}

static double shape_hijack(const struct traffic *traffic, int64_t utc_s, const struct moment *m)
{
    (void)m;
    return story(traffic, utc_s, 2, 6) ? 1.0 : 0.0;
}

static double shape_dictionary(const struct traffic *traffic, int64_t utc_s, const struct moment *m)
{
    (void)m;
    return story(traffic, utc_s, 12, 3) ? 1.0 : 0.0;
}

/* One source of mail; shares in per mille of all mail over a week, stories beside it. */
enum source_name { PEOPLE, CRON, NEWSLETTER, SPAM, HIJACK, DICTIONARY, SOURCES };
struct source {
    double (*shape)(const struct traffic *traffic, int64_t utc_s, const struct moment *local);
    double shares[TRAFFIC_DIRECTIONS];
    bool refused; /* Postfix takes none of what comes in */
};
static const struct source sources[SOURCES] = {
    [PEOPLE] = {shape_people, {[TRAFFIC_IN] = 260, [TRAFFIC_OUT] = 230, [TRAFFIC_INTERNAL] = 50}, false},
    [CRON] = {shape_cron, {[TRAFFIC_INTERNAL] = 30}, false},
    [NEWSLETTER] = {shape_newsletter, {[TRAFFIC_OUT] = 40}, false},
    [SPAM] = {shape_spam, {[TRAFFIC_IN] = 360, [TRAFFIC_RELAY] = 25, [TRAFFIC_UNKNOWN] = 5}, true},
    [HIJACK] = {shape_hijack, {[TRAFFIC_OUT] = 9120}, false},
    [DICTIONARY] = {shape_dictionary, {[TRAFFIC_IN] = 8000}, true},
};

/* What each source is worth at this moment; the sum. */
static double levels(const struct traffic *traffic, int64_t ts_us, double out[SOURCES])
{
    int64_t utc_s = floor_div(ts_us, US_PER_SECOND);
    struct moment local = moment_of(utc_s);
    double sum = 0;
    for (size_t i = 0; i < SOURCES; i++) {
        double share = 0;
        for (size_t d = 0; d < TRAFFIC_DIRECTIONS; d++)
            share += sources[i].shares[d] / 1000.0;
        sum += out[i] = share * sources[i].shape(traffic, utc_s, &local);
    }
    return sum;
}

double traffic_intensity(const struct traffic *traffic, int64_t ts_us)
{
    double out[SOURCES];
    return levels(traffic, ts_us, out);
}

int traffic_create(struct traffic **out, uint64_t seed, int64_t story_end_us)
{
    struct traffic *traffic = calloc(1, sizeof *traffic);
    *out = NULL;
    if (traffic == NULL)
        return ERR_NO_MEMORY;
    chance_seed(&traffic->chance, seed);
    traffic->seed = seed;
    traffic->story_end_us = story_end_us;
    double sum = 0;
    for (int hour = 0; hour < 24; hour++)
        for (int day = 0; day < 7; day++)
            sum += people_hours[hour] * people_days[day];
    traffic->people_mean = sum / (24 * 7);
    int rc = traffic_names_create(&traffic->names);
    if (rc != 0) {
        free(traffic);
        return rc;
    }
    *out = traffic;
    return 0;
}

void traffic_destroy(struct traffic **traffic)
{
    if (*traffic != NULL)
        traffic_names_destroy(&(*traffic)->names);
    free(*traffic);
    *traffic = NULL;
}

double traffic_pause(struct traffic *traffic)
{
    return -log(1.0 - chance_unit(&traffic->chance));
}

/* The unit exponential is used up at the rate of the moment, in steps short enough for cron's minutes. */
int64_t traffic_next_us(struct traffic *traffic, int64_t ts_us, double messages_per_day)
{
    enum { STEP_US = 30 * 1000000 };
    double left = traffic_pause(traffic);
    for (int steps = 0; steps < 7 * 2 * 1440; steps++) {
        double per_us = messages_per_day * traffic_intensity(traffic, ts_us) / (DAY_S * 1e6);
        if (per_us * STEP_US >= left)
            return ts_us + (int64_t)(left / per_us) + 1;
        left -= per_us * STEP_US;
        ts_us += STEP_US;
    }
    return ts_us;
}

/* p50 28 kB, p95 2.5 MB. */
static uint64_t draw_size(struct chance *chance)
{
    double size = exp(log(28e3) + 2.731 * chance_normal(chance));
    return size < 400 ? 400 : size > 50e6 ? UINT64_C(50000000) : (uint64_t)size;
}

static unsigned draw_recipient_count(struct chance *chance)
{
    double luck = chance_unit(chance);
    if (luck < 0.86)
        return 1;
    if (luck < 0.985)
        return 2 + chance_below(chance, 4);
    return 6 + chance_below(chance, TRAFFIC_RECIPIENTS - 5);
}

static void draw_tls(struct chance *chance, bool spam, struct traffic_message *m)
{
    double luck = chance_unit(chance);
    if (luck < (spam ? 0.55 : 0.04))
        return;
    bool old = luck > 0.92;
    m->tls_bits = old ? 128 : 256;
    snprintf(m->tls_protocol, sizeof m->tls_protocol, "%s", old ? "TLSv1.2" : "TLSv1.3");
    snprintf(m->tls_cipher, sizeof m->tls_cipher, "%s",
             old ? "ECDHE-RSA-AES128-GCM-SHA256" : "TLS_AES_256_GCM_SHA384");
}

static void draw_client(struct traffic *traffic, enum source_name source, struct traffic_message *m)
{
    struct chance *chance = &traffic->chance;
    bool trusted = m->direction == TRAFFIC_OUT || m->direction == TRAFFIC_INTERNAL;
    bool login = source == HIJACK || (source == PEOPLE && trusted && chance_unit(chance) < 0.7);
    m->server_port = login ? 587 : 25;
    if (trusted && source != HIJACK && (!login || chance_unit(chance) < 0.3))
        traffic_names_trusted(chance, m->client_address, sizeof m->client_address, m->client_name,
                              TRAFFIC_TEXT_BYTES);
    else
        traffic_names_stranger(chance, sources[source].refused || source == HIJACK, m->client_address,
                               sizeof m->client_address, m->client_name, TRAFFIC_TEXT_BYTES);
    if (source == DICTIONARY)
        snprintf(m->client_address, sizeof m->client_address, "198.51.100.%u", chance_below(chance, 64));
    memcpy(m->reverse_client_name, m->client_name, TRAFFIC_TEXT_BYTES);
    if (login || strcmp(m->client_name, "unknown") == 0)
        snprintf(m->helo_name, sizeof m->helo_name, "[%s%s]", strchr(m->client_address, ':') ? "IPv6:" : "",
                 m->client_address);
    else
        memcpy(m->helo_name, m->client_name, TRAFFIC_TEXT_BYTES);
    m->client_port = 1024 + chance_below(chance, 64000);
    if (login)
        memcpy(m->sasl_username, m->sender, TRAFFIC_TEXT_BYTES);
    draw_tls(chance, sources[source].refused, m);
}

static void draw_sender(struct traffic *traffic, enum source_name source, struct traffic_message *m)
{
    struct chance *chance = &traffic->chance;
    if (source == HIJACK)
        snprintf(m->sender, sizeof m->sender, "compta@atelier.example");
    else if (source == CRON)
        snprintf(m->sender, sizeof m->sender, "root@example.com");
    else if (source == NEWSLETTER)
        snprintf(m->sender, sizeof m->sender, "lettre@mairie.example");
    else if (m->direction == TRAFFIC_OUT || m->direction == TRAFFIC_INTERNAL)
        traffic_names_own(traffic->names, chance, m->sender, sizeof m->sender);
    else if (chance_unit(chance) < 0.04)
        m->sender[0] = '\0'; /* a bounce */
    else
        traffic_names_sender(traffic->names, chance, m->sender, sizeof m->sender);
}

static void draw_recipients(struct traffic *traffic, enum source_name source, struct traffic_message *m)
{
    struct chance *chance = &traffic->chance;
    m->recipient_count = source == PEOPLE ? draw_recipient_count(chance) : 1;
    for (unsigned i = 0; i < m->recipient_count; i++) {
        char *to = m->recipients[i];
        if (m->direction == TRAFFIC_UNKNOWN)
            snprintf(to, TRAFFIC_TEXT_BYTES, "postmaster");
        else if (m->direction == TRAFFIC_OUT || m->direction == TRAFFIC_RELAY)
            traffic_names_provider(chance, to, TRAFFIC_TEXT_BYTES);
        else if (source == DICTIONARY)
            snprintf(to, TRAFFIC_TEXT_BYTES, "name%05u@example.com", chance_below(chance, 100000));
        else
            traffic_names_own(traffic->names, chance, to, TRAFFIC_TEXT_BYTES);
    }
}

void traffic_draw(struct traffic *traffic, int64_t ts_us, struct traffic_message *out)
{
    struct chance *chance = &traffic->chance;
    double worth[SOURCES];
    levels(traffic, ts_us, worth);
    enum source_name source = (enum source_name)chance_weighted(chance, worth, SOURCES);
    memset(out, 0, sizeof *out);
    out->ts_us = ts_us;
    out->direction =
        (enum traffic_direction)chance_weighted(chance, sources[source].shares, TRAFFIC_DIRECTIONS);
    out->size_bytes = draw_size(chance);
    draw_sender(traffic, source, out);
    draw_client(traffic, source, out);
    draw_recipients(traffic, source, out);
    /* 58 % of strangers' attempts are refused: all spam but a leak. */
    out->accepted = !sources[source].refused || (source == SPAM && chance_unit(chance) < 0.03);
    if (out->accepted || out->recipient_count > 1)
        snprintf(out->queue_id, sizeof out->queue_id, "%X%010llX", 4 + chance_below(chance, 12),
                 (unsigned long long)(chance_u64(chance) & 0xffffffffffULL));
    snprintf(out->instance, sizeof out->instance, "%x.%llx.%x.%x", 0x1000 + chance_below(chance, 400),
             (unsigned long long)(ts_us / US_PER_SECOND), (unsigned)(ts_us % US_PER_SECOND),
             traffic->drawn++);
}

unsigned traffic_request_count(const struct traffic_message *message)
{
    return message->recipient_count + (message->accepted ? 1 : 0);
}

int64_t traffic_request_us(const struct traffic_message *message, unsigned index)
{
    int64_t at = message->ts_us + (int64_t)index * 9000;
    return index < message->recipient_count ? at : at + 350000 + (int64_t)(message->size_bytes / 20);
}

size_t traffic_request(const struct traffic_message *m, unsigned index, char out[TRAFFIC_REQUEST_BYTES])
{
    bool end = index >= m->recipient_count;
    const char *recipient = !end ? m->recipients[index] : m->recipient_count == 1 ? m->recipients[0] : "";
    bool queued = end || index > 0;
    int n = snprintf(
        out, TRAFFIC_REQUEST_BYTES,
        "request=smtpd_access_policy\nprotocol_state=%s\nprotocol_name=ESMTP\nclient_address=%s\n"
        "client_name=%s\nclient_port=%u\nreverse_client_name=%s\nserver_address=192.0.2.1\n"
        "server_port=%u\nhelo_name=%s\nsender=%s\nrecipient=%s\nrecipient_count=%u\nqueue_id=%s\n"
        "instance=%s\nsize=%llu\netrn_domain=\nstress=\nsasl_method=%s\nsasl_username=%s\n"
        "sasl_sender=\nccert_subject=\nccert_issuer=\nccert_fingerprint=\nccert_pubkey_fingerprint=\n"
        "encryption_protocol=%s\nencryption_cipher=%s\nencryption_keysize=%u\npolicy_context=\n"
        "compatibility_level=3.6\nmail_version=3.7.11\n\n",
        end ? "END-OF-MESSAGE" : "RCPT", m->client_address, m->client_name, m->client_port,
        m->reverse_client_name, m->server_port, m->helo_name, m->sender, recipient,
        end ? m->recipient_count : 0, queued ? m->queue_id : "", m->instance,
        end ? (unsigned long long)m->size_bytes : 0ULL, m->sasl_username[0] != '\0' ? "PLAIN" : "",
        m->sasl_username, m->tls_protocol, m->tls_cipher, m->tls_bits);
    return n < TRAFFIC_REQUEST_BYTES ? (size_t)n : 0;
}

const char *traffic_direction_name(enum traffic_direction direction)
{
    static const char *const names[] = {"in", "out", "internal", "relay", "unknown"};
    return names[direction];
}
