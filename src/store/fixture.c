/* SPDX-License-Identifier: Apache-2.0
 *
 * fixture: see fixture.h.
 */
#include "store/fixture.h"

#include <assert.h>
#include <dirent.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TEXT_BYTES = 256 * 1024 * 1024, EVENTS_OF_MESSAGE = 16, RECIPIENTS = 5 };

uint64_t fixture_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t fixture_below(uint64_t *state, uint64_t bound)
{
    return fixture_random(state) % bound;
}

static const char *const senders[] = {
    "",
    "ann@one.test",
    "bob@one.test",
    "carol@two.test",
    "news@big-sender.test",
    "o'neil\"; DROP TABLE events; --@two.test",
    "\342\200\256bidi@two.test",
    "\xf0\x9f\x93\xa7@three.test",
    "percent%_@three.test",
    "back\\slash@three.test",
};
static const char *const recipients[] = {"rik@home.test", "sue@home.test", "tom@away.test", "una@relay.test",
                                         "q'uote@home.test"};
static const uint8_t directions[] = {DIRECTION_IN, DIRECTION_IN, DIRECTION_OUT, DIRECTION_RELAY,
                                     DIRECTION_INTERNAL};

static struct slice keep(struct fixture *fixture, const char *text)
{
    size_t n = strlen(text), at = fixture->texts.n;
    int rc = buf_add(&fixture->texts, text, n);
    assert(rc == 0);
    (void)rc;
    return (struct slice){fixture->texts.p + at, n};
}

static struct slice domain_of(struct slice address)
{
    for (size_t i = address.n; i > 0; i--)
        if (address.p[i - 1] == '@')
            return (struct slice){address.p + i, address.n - i};
    return (struct slice){NULL, 0};
}

/* What all events of one message have in common. */
static struct event common_of(struct fixture *fixture, uint64_t number)
{
    uint64_t *random = &fixture->random, id[2] = {fixture_random(random), number};
    char text[64], address[IP_TEXT_BYTES];
    struct event event = {.tenant = 1 + (uint32_t)fixture_below(random, 3), .rule_version = 1};
    (void)snprintf(text, sizeof text, "edge-%u", (unsigned)number % 2); /* both in each tenant */
    event.edge = keep(fixture, text);
    memcpy(event.message_id.b, id, sizeof id);
    memset(event.epoch.b, (int)event.tenant, sizeof event.epoch.b);
    event.ts = FIXTURE_START_US + (int64_t)fixture_below(random, FIXTURE_RANGE_US);
    (void)snprintf(address, sizeof address, fixture_below(random, 2) ? "192.0.%u.%u" : "2001:db8:%u::%u",
                   (unsigned)fixture_below(random, 4), (unsigned)fixture_below(random, 6));
    if (fixture_below(random, 20) > 0 && ip_parse(slice_of(address), &event.client_address) != 0)
        abort();
    event.client_name = keep(fixture, fixture_below(random, 3) ? "mail.client.test" : "unknown");
    event.client_port = (uint16_t)fixture_below(random, 3);
    event.helo_name = keep(fixture, "helo.test");
    event.protocol_name = keep(fixture, "ESMTP");
    event.sender = keep(fixture, senders[fixture_below(random, sizeof senders / sizeof *senders)]);
    event.sender_domain = domain_of(event.sender);
    (void)snprintf(text, sizeof text, "%" PRIx64 ".%" PRIx64 ".0", number, fixture_random(random) >> 32);
    event.instance = keep(fixture, text);
    if (fixture_below(random, 4) == 0)
        event.sasl_username = keep(fixture, "ann");
    return event;
}

static struct event *put(struct fixture *fixture, struct event *common, enum stage stage)
{
    assert(fixture->count < fixture->room);
    struct event *event = &fixture->events[fixture->count++];
    common->ts += (int64_t)fixture_below(&fixture->random, 120 * US_PER_SECOND);
    *event = *common;
    event->stage = (uint8_t)stage;
    event->seq = fixture->count;
    event->edge_ts = event->ts - 5;
    event->hub_ts = event->ts + 1000;
    event->ts_corrected = fixture_below(&fixture->random, 9) == 0;
    return event;
}

/* One recipient, now and then asked for again. Returns its direction. */
static uint8_t put_recipient(struct fixture *fixture, struct event *common, uint32_t heard)
{
    size_t i = fixture_below(&fixture->random, RECIPIENTS);
    struct event *event = put(fixture, common, STAGE_RCPT);
    event->recipient = keep(fixture, recipients[i]);
    event->recipient_domain = domain_of(event->recipient);
    event->direction = directions[i];
    event->recipients = 1;
    if (heard > 0)
        event->queue_id = keep(fixture, "4XyZ1234");
    if (fixture_below(&fixture->random, 10) == 0) {
        struct event *again = put(fixture, common, STAGE_RCPT);
        uint64_t seq = again->seq;
        int64_t ts = again->ts;
        *again = *event;
        again->seq = seq;
        again->ts = ts;
        again->recipients = 0;
        again->retry_of = event->seq;
    }
    return directions[i];
}

static void put_end(struct fixture *fixture, struct event *common, uint32_t heard, uint8_t direction)
{
    uint64_t *random = &fixture->random;
    struct event *event = put(fixture, common, STAGE_END_OF_MESSAGE);
    event->recipient_count = heard > 0 ? heard : 1 + (uint32_t)fixture_below(random, 3);
    event->recipients = heard > 0 ? 0 : event->recipient_count;
    event->direction = heard > 0 ? direction : DIRECTION_UNKNOWN;
    event->queue_id = keep(fixture, "4XyZ1234");
    event->size = fixture_below(random, 12) > 0 ? 1 + fixture_below(random, 100000) : 0;
    if (fixture_below(random, 12) == 0) {
        struct event *again = put(fixture, common, STAGE_END_OF_MESSAGE);
        uint64_t seq = again->seq;
        *again = *event;
        again->seq = seq;
        again->size = event->size * 3; /* a retry's size never counts */
        again->recipients = 0;
        again->retry_of = event->seq;
    }
}

static void put_message(struct fixture *fixture, uint64_t number)
{
    uint64_t *random = &fixture->random;
    struct event common = common_of(fixture, number);
    if (fixture_below(random, 5) == 0) {
        struct event *event = put(fixture, &common, fixture_below(random, 2) ? STAGE_CONNECT : STAGE_EHLO);
        event->sender = event->sender_domain = (struct slice){NULL, 0};
    }
    size_t first = fixture->count;
    if (fixture_below(random, 5) == 0)
        (void)put(fixture, &common, STAGE_MAIL);
    uint32_t heard = (uint32_t)fixture_below(random, 5);
    uint8_t direction = DIRECTION_ABSENT;
    for (uint32_t i = 0; i < heard; i++) {
        uint8_t one = put_recipient(fixture, &common, i);
        direction = i == 0 || one == direction ? one : DIRECTION_ABSENT;
    }
    if (fixture_below(random, 4) == 0)
        (void)put(fixture, &common, STAGE_DATA);
    if (fixture_below(random, 8) > 0)
        put_end(fixture, &common, heard, direction);
    if (fixture->count > first)
        fixture->events[first].first_of_message = true;
}

void fixture_init(struct fixture *fixture, uint64_t seed, size_t messages)
{
    *fixture = (struct fixture){.random = seed, .room = messages * EVENTS_OF_MESSAGE};
    fixture->events = calloc(fixture->room + 1, sizeof *fixture->events);
    buf_init(&fixture->texts, TEXT_BYTES);
    if (fixture->events == NULL || buf_reserve(&fixture->texts, messages * 512 + 1) != 0)
        abort(); /* reserved at once: the events point into it */
    const char *texts = fixture->texts.p;
    for (size_t i = 0; i < messages; i++)
        put_message(fixture, i);
    if (fixture->texts.p != texts)
        abort();
}

void fixture_fini(struct fixture *fixture)
{
    free(fixture->events);
    buf_fini(&fixture->texts);
    *fixture = (struct fixture){0};
}

char *fixture_directory(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = NULL;
    if (asprintf(&dir, "%s/store-XXXXXX", base != NULL ? base : "/tmp") < 0 || mkdtemp(dir) == NULL)
        abort();
    return dir;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

void fixture_remove(char *dir)
{
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(dir);
}

void fixture_part(const char *dir, const char *ending, char out[4096])
{
    DIR *listing = opendir(dir);
    char last[256] = "";
    out[0] = '\0';
    if (listing == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        size_t n = strlen(entry->d_name), tail = strlen(ending);
        if (strncmp(entry->d_name, "events-", 7) == 0 && n > tail &&
            strcmp(entry->d_name + n - tail, ending) == 0 && strcmp(entry->d_name, last) > 0)
            (void)snprintf(last, sizeof last, "%s", entry->d_name);
    }
    (void)closedir(listing);
    if (last[0] != '\0')
        (void)snprintf(out, 4096, "%s/%s", dir, last);
}

void fixture_row(struct buf *out, const struct cell *cells, size_t count)
{
    int rc = 0;
    char ts[CLOCK_TEXT_BYTES];
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = i > 0 ? buf_add(out, "|", 1) : 0;
        if (rc != 0)
            break;
        switch (cells[i].type) {
        case CELL_NULL:
            rc = buf_addf(out, "NULL");
            break;
        case CELL_TEXT:
            rc = buf_add_slice(out, cells[i].text);
            break;
        case CELL_TS:
            clock_format(cells[i].ts, ts);
            rc = buf_addf(out, "%s", ts);
            break;
        case CELL_F64:
            rc = buf_addf(out, "%.12g", cells[i].f64);
            break;
        case CELL_BOOL:
            rc = buf_addf(out, "%s", cells[i].u64 != 0 ? "true" : "false");
            break;
        default:
            rc = buf_addf(out, "%" PRIu64, cells[i].u64);
        }
    }
    if (rc != 0)
        abort();
}
