/* SPDX-License-Identifier: Apache-2.0
 *
 * demo_history: the past, as an edge's spool whose hub was away: made-up requests with the times they would
 * have had, carried by the same spool and uplink as a policy-proxy's. DIR/until holds how far an earlier run
 * came, so that the past is shipped once. See demo.h.
 */
#include "demo.h"

#include "base/clock.h"
#include "edge/uplink.h"
#include "traffic.h"
#include "wire/batch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SPOOL_MAX_MIB = 4096,
    RING_BYTES = 4 << 20,
    STRETCH = 512,  /* records; two of them fit the ring */
    AHEAD = 200000, /* records in the spool that the hub has not acked, at most */
    SILENCE_S = 60, /* no progress for so long: give up */
    DRAIN_S = 5,
};

struct shipment {
    const struct demo_history *options;
    struct spool *spool;
    struct uplink *uplink;
    struct uplink_stats stats;
    uint64_t made;
    bool terminal;
    int64_t shown_us, moved_us;
};

_Static_assert(2 * STRETCH * (TRAFFIC_REQUEST_BYTES + 64) <= RING_BYTES, "two stretches fit the ring");

static int path_of(const char *dir, const char *name, char out[PATH_MAX], struct err *err)
{
    if (snprintf(out, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
        return err_set(err, ERR_LIMIT, "%.200s: the name is too long", dir);
    return 0;
}

static int64_t shipped_until(const char *path)
{
    char text[CLOCK_TEXT_BYTES] = "";
    int64_t ts_us = INT64_MIN;
    FILE *file = fopen(path, "re");
    if (file != NULL && fgets(text, sizeof text, file) != NULL &&
        clock_parse((struct slice){text, strcspn(text, "\n")}, &ts_us) != 0)
        ts_us = INT64_MIN;
    if (file != NULL)
        (void)fclose(file);
    return ts_us;
}

static int remember_until(const char *path, int64_t ts_us, struct err *err)
{
    char text[CLOCK_TEXT_BYTES];
    FILE *file = fopen(path, "we");
    clock_format(ts_us, text);
    bool written = file != NULL && fprintf(file, "%s\n", text) > 0;
    if (file == NULL || fclose(file) != 0 || !written)
        return err_errno(err, errno, "%s can't be written", path);
    return 0;
}

static void show(struct shipment *s, int64_t ts_us)
{
    int64_t now_us = clock_monotonic_us();
    if (!s->terminal || now_us - s->shown_us < US_PER_SECOND / 5)
        return;
    enum { WIDTH = 40 };
    const struct demo_history *h = s->options;
    double part = (double)(ts_us - h->from_us) / (double)(h->to_us - h->from_us);
    int full = part >= 1 ? WIDTH : (int)(part * WIDTH);
    s->shown_us = now_us;
    fprintf(stderr, "\rhistory [%.*s%*s] %3d %%, %llu requests at the hub ", full,
            "########################################", WIDTH - full, "", (int)(100 * part),
            (unsigned long long)s->stats.records_acked);
}

/* Looks at the uplink; 0 while there is hope. */
static int look(struct shipment *s, int64_t ts_us, struct err *err)
{
    uint64_t before = s->stats.records_acked;
    uplink_get_stats(s->uplink, &s->stats);
    int64_t now_us = clock_monotonic_us();
    if (s->stats.records_acked != before || s->moved_us == 0)
        s->moved_us = now_us;
    show(s, ts_us);
    if (*s->options->stop)
        return ERR_CANCELLED;
    if (s->stats.state == UPLINK_REFUSED)
        return err_set(err, ERR_DENIED, "the hub refuses the history: %s", s->stats.refusal);
    if (now_us - s->moved_us > SILENCE_S * US_PER_SECOND)
        return err_set(err, ERR_UNAVAILABLE,
                       "the hub at %s takes no history (is it running, and its disk not full?)",
                       s->options->server);
    return 0;
}

static int wait_a_little(struct shipment *s, int64_t ts_us, struct err *err)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    return look(s, ts_us, err);
}

/* A record refused by a full ring would leave a gap that the hub counts and shows: so there is room first. */
static int wait_for_room(struct shipment *s, int64_t ts_us, struct err *err)
{
    struct spool_stats stats;
    int rc = 0;
    do
        spool_get_stats(s->spool, &stats);
    while (stats.unwritten > STRETCH && (rc = wait_a_little(s, ts_us, err)) == 0);
    return rc;
}

static int keep(struct shipment *s, int64_t ts_us, struct slice request, struct err *err)
{
    int rc = s->made % STRETCH == 0 ? wait_for_room(s, ts_us, err) : 0;
    if (rc == 0)
        rc = spool_append(s->spool, RECORD_POLICY, ts_us, request, NULL);
    s->made += rc == 0;
    return rc;
}

static int make(struct shipment *s, struct traffic *traffic, int64_t from_us, struct err *err)
{
    const struct demo_history *h = s->options;
    struct traffic_message message;
    char bytes[TRAFFIC_REQUEST_BYTES];
    int rc = 0;
    for (int64_t ts_us = from_us; rc == 0;) {
        ts_us = traffic_next_us(traffic, ts_us, h->messages_per_day);
        if (ts_us >= h->to_us)
            break;
        traffic_draw(traffic, ts_us, &message);
        for (unsigned i = 0; rc == 0 && i < traffic_request_count(&message); i++)
            rc = keep(s, traffic_request_us(&message, i),
                      (struct slice){bytes, traffic_request(&message, i, bytes)}, err);
        while (rc == 0 && s->made > s->stats.records_acked + AHEAD)
            rc = wait_a_little(s, ts_us, err);
    }
    while (rc == 0 && s->stats.records_acked < s->made)
        rc = wait_a_little(s, h->to_us, err);
    return rc;
}

static int open_edge(struct shipment *s, const char *spool, const char *key, struct err *err)
{
    const struct demo_history *h = s->options;
    struct spool_options spool_options = {
        .journal = {.dir = spool, .max_bytes = (uint64_t)SPOOL_MAX_MIB << 20},
        .ring_dir = "/dev/shm",
        .ring_bytes = RING_BYTES,
        .sync_interval_us = US_PER_SECOND / 10,
    };
    struct uplink_options uplink_options = {
        .server = h->server,
        .server_key = h->server_key,
        .key_file = key,
        .api_key = h->api_key,
        .edge_id = DEMO_EDGE,
        .keepalive_us = 5 * US_PER_SECOND,
    };
    int rc = spool_open(&s->spool, &spool_options, err);
    return rc != 0 ? rc : uplink_start(&s->uplink, &uplink_options, s->spool, err);
}

int demo_history_ship(const struct demo_history *history, uint64_t *requests, struct err *err)
{
    struct shipment s = {.options = history, .terminal = isatty(STDERR_FILENO) == 1};
    char until[PATH_MAX], spool[PATH_MAX], key[PATH_MAX];
    struct traffic *traffic = NULL;
    *requests = 0;
    int rc = path_of(history->dir, "until", until, err);
    if (rc == 0)
        rc = path_of(history->dir, "spool", spool, err);
    if (rc == 0)
        rc = path_of(history->dir, "edge.key", key, err);
    if (rc != 0)
        return rc;
    int64_t from_us = shipped_until(until);
    if (from_us < history->from_us)
        from_us = history->from_us;
    if (mkdir(history->dir, 0700) != 0 && errno != EEXIST)
        return err_errno(err, errno, "%s can't be made", history->dir);
    rc = open_edge(&s, spool, key, err);
    if (rc == 0)
        rc = traffic_create(&traffic, history->seed, history->to_us);
    if (rc == 0)
        rc = make(&s, traffic, from_us, err);
    if (s.terminal && s.shown_us != 0)
        fprintf(stderr, "\n");
    *requests = s.made;
    if (rc == 0)
        rc = remember_until(until, history->to_us, err);
    if (traffic != NULL)
        traffic_destroy(&traffic);
    if (s.uplink != NULL)
        uplink_stop(&s.uplink, rc == 0 ? DRAIN_S * US_PER_SECOND : 0);
    if (s.spool != NULL) {
        int closed = spool_close(&s.spool, DRAIN_S * US_PER_SECOND, rc == 0 ? err : NULL);
        rc = rc != 0 ? rc : closed;
    }
    return rc == ERR_CANCELLED ? 0 : rc;
}
