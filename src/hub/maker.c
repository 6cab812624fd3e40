/* SPDX-License-Identifier: Apache-2.0
 *
 * maker: see maker.h.
 */
#include "maker.h"

#include "base/clock.h"
#include "base/log.h"
#include "enrich/consolidate/consolidate.h"
#include "hub/erasures.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const int64_t rules_every_us = US_PER_SECOND / 5;

struct maker {
    struct quarantine *quarantine;
    struct journal_reader *reader;
    struct batch_reader *bodies;
    struct account *account;
    struct rules *rules;
    struct erasures *erasures;
    struct consolidate *consolidate;
    uint64_t generation;
    struct account_stamp stamp; /* of rules and erasures */
    int64_t rules_looked_us;    /* monotonic */
    int64_t rules_asof;         /* real time: events received before it are classified as was said then */

    struct store_cursor cursor; /* of the next event */
    struct store_cursor known;  /* failures before it are counted already */
    struct store_cursor told;   /* and events before it were published */
    void (*publish)(void *arg, const struct event *rows, size_t count);
    void *publish_arg;
    uint64_t parse_errors;
    uint64_t erased; /* passed because a tombstone covers them */
    bool bounded;    /* nothing is read from `until` on */
    struct store_cursor until;

    bool open; /* a commit is being read: */
    struct journal_pos next;
    struct commit commit;
    bool waiting; /* `record` did not fit the last batch */
    struct batch_record record;
};

/* Rules and tombstones; on failure those that are there stay. */
static int read_rules(struct maker *m, struct err *err)
{
    struct rules *rules = NULL;
    struct erasures *erasures = NULL;
    struct account_stamp stamp;
    int rc = account_rules_stamp(m->account, &stamp, err);
    if (rc == 0 && m->rules != NULL && memcmp(&stamp, &m->stamp, sizeof stamp) == 0)
        return 0; /* something else in the control data has changed */
    if (rc == 0)
        rc = account_rules(m->account, &rules, err);
    if (rc == 0)
        rc = erasures_load(&erasures, m->account, 0, err);
    if (rc != 0) {
        rules_destroy(&rules);
        return rc;
    }
    rules_destroy(&m->rules);
    erasures_destroy(&m->erasures);
    m->rules = rules;
    m->erasures = erasures;
    m->stamp = stamp;
    return 0;
}

int maker_create(struct maker **out, struct journal *journal, const char *account_path,
                 struct quarantine *quarantine, struct err *err)
{
    struct maker *m = calloc(1, sizeof *m);
    *out = m;
    if (m == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    m->quarantine = quarantine;
    int rc = journal_reader_open(&m->reader, journal, NULL, (struct journal_pos){0, 0}, err);
    if (rc == 0 && ((rc = batch_reader_create(&m->bodies)) != 0 ||
                    (rc = consolidate_create(&m->consolidate, MAKER_MESSAGES)) != 0))
        (void)err_set(err, rc, "out of memory");
    if (rc == 0)
        rc = account_open(&m->account, account_path, err);
    if (rc == 0)
        rc = account_generation(m->account, &m->generation, err);
    if (rc == 0)
        rc = read_rules(m, err);
    if (rc != 0)
        maker_destroy(out);
    return rc;
}

void maker_destroy(struct maker **maker)
{
    struct maker *m = *maker;
    if (m == NULL)
        return;
    rules_destroy(&m->rules);
    erasures_destroy(&m->erasures);
    account_close(&m->account);
    consolidate_destroy(&m->consolidate);
    batch_reader_destroy(&m->bodies);
    journal_reader_close(&m->reader);
    free(m);
    *maker = NULL;
}

uint64_t maker_parse_errors(const struct maker *maker)
{
    return maker->parse_errors;
}

uint64_t maker_erased(const struct maker *maker)
{
    return maker->erased;
}

struct store_cursor maker_cursor(const struct maker *maker)
{
    return maker->cursor;
}

void maker_bound(struct maker *maker, const struct store_cursor *until)
{
    maker->bounded = until != NULL;
    if (until != NULL)
        maker->until = *until;
}

static void look_at_rules(struct maker *m)
{
    struct err err = {0};
    uint64_t generation = m->generation;
    int64_t now = clock_monotonic_us();
    m->rules_looked_us = now;
    m->rules_asof = clock_real_us();
    int rc = account_generation(m->account, &generation, &err);
    if (rc == 0 && generation == m->generation)
        return;
    if (rc == 0)
        rc = read_rules(m, &err);
    if (rc != 0) {
        log_warning("loader: the rules can't be read, the old ones stay [%s]", err_detail(&err));
        m->rules_looked_us = now + 10 * US_PER_SECOND; /* not five times a second */
        return;
    }
    m->generation = generation;
}

void maker_refresh_rules(struct maker *m)
{
    if (clock_monotonic_us() - m->rules_looked_us >= rules_every_us)
        look_at_rules(m);
}

void maker_reread_rules(struct maker *m)
{
    look_at_rules(m);
}

/* What an operator said before an event came holds for it. In a backlog nobody needs to look. */
static void refresh_rules_for(struct maker *m, int64_t hub_ts)
{
    if (hub_ts >= m->rules_asof && clock_monotonic_us() >= m->rules_looked_us)
        look_at_rules(m);
}

int maker_seek(struct maker *m, struct store_cursor cursor, struct err *err)
{
    m->open = m->waiting = false;
    m->cursor = cursor;
    return journal_reader_seek(m->reader, cursor.pos, err);
}

static void keep_record(struct maker *m, const char *reason, struct slice bytes)
{
    char head[1024], name[BATCH_EDGE_BYTES + 112], epoch[2 * JOURNAL_EPOCH_BYTES + 1];
    text_to_hex(m->commit.epoch.b, sizeof m->commit.epoch.b, epoch);
    int edge = (int)m->commit.edge.n;
    (void)snprintf(name, sizeof name, "%" PRIu32 "-%.*s-%s-%" PRIu64 ".request", m->commit.tenant, edge,
                   m->commit.edge.p, epoch, m->record.seq);
    (void)snprintf(head, sizeof head,
                   "reason: %s\ntenant: %" PRIu32 "\nedge: %.*s\nepoch: %s\nseq: %" PRIu64
                   "\nedge_ts: %" PRId64 "\nhub_ts: %" PRId64 "\n",
                   reason, m->commit.tenant, edge, m->commit.edge.p, epoch, m->record.seq, m->record.ts_us,
                   m->commit.hub_ts);
    quarantine_keep(m->quarantine, name, head, bytes);
}

void maker_quarantine_last(struct maker *m, const char *reason)
{
    keep_record(m, reason, m->record.payload);
}

/* True when a failure at the cursor was not yet counted. */
static bool count_failure(struct maker *m)
{
    if (store_cursor_compare(m->cursor, m->known) < 0)
        return false;
    m->known = (struct store_cursor){m->cursor.pos, m->cursor.skip + 1};
    m->parse_errors++;
    if ((m->parse_errors & (m->parse_errors - 1)) == 0) /* 1, 2, 4, 8, …: repeats are the counter's */
        log_warning("loader: %" PRIu64 " records could not be read; they are kept in %s", m->parse_errors,
                    m->quarantine->dir);
    return true;
}

static void pass_journal_record(struct maker *m, const struct journal_record *record, const char *reason)
{
    char head[512], name[64];
    m->cursor = (struct store_cursor){record->pos, 0};
    if (count_failure(m)) {
        (void)snprintf(name, sizeof name, "journal-%" PRIu64 "-%" PRIu64 ".record", record->pos.segment,
                       record->pos.offset);
        (void)snprintf(head, sizeof head, "reason: %s\nkind: %u\nhub_ts: %" PRId64 "\n", reason, record->kind,
                       record->ts_us);
        quarantine_keep(m->quarantine, name, head, record->payload);
    }
    m->cursor = (struct store_cursor){record->next, 0};
}

/* The reason why a journal record is no batch of ours, or NULL. */
static const char *open_commit(struct maker *m, const struct journal_record *record)
{
    if (record->kind != COMMIT_BATCH)
        return "unknown kind of journal record";
    if (commit_decode(record->payload, &m->commit) != 0)
        return "damaged commit";
    int rc = m->commit.erased ? batch_reader_open_erased(m->bodies, m->commit.body, m->commit.first_seq,
                                                         m->commit.count, NULL)
                              : batch_reader_open(m->bodies, m->commit.body, m->commit.first_seq,
                                                  m->commit.count, m->commit.hash, NULL);
    return rc != 0 ? "damaged batch" : NULL;
}

/* The next record of the journal that is a batch, opened. ERR_END, ERR_IO. */
static int next_commit(struct maker *m, struct err *err)
{
    for (;;) {
        struct journal_record record;
        int rc = journal_reader_next(m->reader, &record, err);
        if (rc != 0)
            return rc;
        bool at_cursor = journal_pos_compare(record.pos, m->cursor.pos) == 0;
        uint32_t skip =
            at_cursor ? m->cursor.skip : 0; /* else that record is gone, and with it what it skipped */
        const char *reason = open_commit(m, &record);
        if (reason != NULL) {
            pass_journal_record(m, &record, reason);
            continue;
        }
        refresh_rules_for(m, m->commit.hub_ts);
        m->open = true;
        m->next = record.next;
        m->cursor = (struct store_cursor){record.pos, skip};
        for (struct batch_record passed; skip > 0 && batch_reader_next(m->bodies, &passed);)
            skip--;
        return 0;
    }
}

/* The record at the cursor becomes a row. ERR_LIMIT: the batch is full. */
static int make_event(struct maker *m, struct event_batch *batch)
{
    struct policy_request request;
    struct event *event;
    const char *why = "unknown kind of record";
    if (m->record.kind == RECORD_ERASED)
        return 0;
    if (m->record.kind != RECORD_POLICY || policy_parse(m->record.payload, &request, &why) != 0) {
        if (count_failure(m))
            keep_record(m, why, m->record.payload);
        return 0;
    }
    struct event_origin origin = {.tenant = m->commit.tenant,
                                  .edge = m->commit.edge,
                                  .seq = m->record.seq,
                                  .edge_ts = m->record.ts_us,
                                  .hub_ts = m->commit.hub_ts,
                                  .clock_offset_us = m->commit.clock_offset_us};
    memcpy(origin.epoch.b, m->commit.epoch.b, sizeof origin.epoch.b);
    int rc = event_from_request(batch, &origin, &request, &event);
    if (rc != 0)
        return rc;
    if (erasures_cover(m->erasures, event)) { /* before the message knows of it, as if it had not come */
        event_batch_pop(batch);
        m->erased++;
        return 0;
    }
    rules_classify(m->rules, event);
    consolidate_event(m->consolidate, event);
    return 0;
}

/* Makes the next event. ERR_LIMIT (nothing is lost, it comes first the next time), ERR_END, ERR_IO. */
static int step(struct maker *m, struct event_batch *batch, struct err *err)
{
    if (!m->open) {
        int rc = next_commit(m, err);
        if (rc != 0)
            return rc;
    }
    if (m->bounded && store_cursor_compare(m->cursor, m->until) >= 0)
        return ERR_END;
    int rc = 0;
    if (m->waiting || batch_reader_next(m->bodies, &m->record)) {
        rc = make_event(m, batch);
        m->waiting = rc != 0;
        if (rc != 0)
            return rc;
        m->cursor.skip++;
    } else {
        m->cursor.skip = m->commit.count;
    }
    if (m->cursor.skip >= m->commit.count) {
        m->open = false;
        m->cursor = (struct store_cursor){m->next, 0};
    }
    return 0;
}

int maker_fill(struct maker *m, struct event_batch *batch, size_t max_rows, struct store_cursor *after,
               struct err *err)
{
    int rc = 0;
    size_t fresh = event_batch_count(batch);
    while (rc == 0 && event_batch_count(batch) < max_rows) {
        bool known = store_cursor_compare(m->cursor, m->told) < 0;
        rc = step(m, batch, err);
        if (known)
            fresh = event_batch_count(batch);
    }
    if (event_batch_count(batch) > fresh && m->publish != NULL)
        m->publish(m->publish_arg, event_batch_rows(batch) + fresh, event_batch_count(batch) - fresh);
    if (store_cursor_compare(m->cursor, m->told) > 0)
        m->told = m->cursor;
    *after = m->cursor;
    return rc == ERR_LIMIT ? 0 : rc;
}

void maker_publish_to(struct maker *m, void (*publish)(void *arg, const struct event *rows, size_t count),
                      void *arg)
{
    m->publish = publish;
    m->publish_arg = arg;
}

/* What one segment holds before `end`. */
struct stretch {
    uint64_t events;
    int64_t oldest_us, newest_us;
};

static int measure_segment(struct maker *m, uint64_t segment, struct journal_pos end, struct stretch *out,
                           struct err *err)
{
    struct journal_record record;
    struct commit commit;
    *out = (struct stretch){.oldest_us = INT64_MAX, .newest_us = INT64_MIN};
    int rc = journal_reader_seek(m->reader, (struct journal_pos){segment, 0}, err);
    while (rc == 0 && (rc = journal_reader_next(m->reader, &record, err)) == 0) {
        if (record.pos.segment != segment || journal_pos_compare(record.pos, end) >= 0)
            return 0;
        out->events += commit_decode(record.payload, &commit) == 0 ? commit.count : 1;
        out->oldest_us = record.ts_us < out->oldest_us ? record.ts_us : out->oldest_us;
        out->newest_us = record.ts_us > out->newest_us ? record.ts_us : out->newest_us;
    }
    return rc == ERR_END ? 0 : rc;
}

/* The segment to start the replay from: backwards until there is enough. */
static int find_replay_start(struct maker *m, struct journal_pos end, uint64_t *start, struct err *err)
{
    struct journal_record oldest;
    uint64_t events = 0;
    int64_t newest_us = INT64_MIN, oldest_us = INT64_MAX;
    *start = end.segment;
    int rc = journal_reader_seek(m->reader, (struct journal_pos){0, 0}, err);
    if (rc == 0)
        rc = journal_reader_next(m->reader, &oldest, err);
    for (unsigned steps = 0;
         steps < JOURNAL_SEGMENTS && rc == 0 && *start > oldest.pos.segment && events < MAKER_REPLAY_EVENTS &&
         (newest_us == INT64_MIN || oldest_us > newest_us - 2 * CONSOLIDATE_IDLE_US);
         steps++) {
        struct stretch stretch;
        rc = measure_segment(m, *start - 1, end, &stretch, err);
        events += stretch.events;
        newest_us = stretch.newest_us > newest_us ? stretch.newest_us : newest_us;
        oldest_us = stretch.oldest_us < oldest_us ? stretch.oldest_us : oldest_us;
        --*start;
    }
    return rc == ERR_END ? 0 : rc;
}

int maker_rebuild(struct maker *m, struct store_cursor cursor, struct event_batch *scratch,
                  const atomic_bool *stop, struct err *err)
{
    uint64_t start;
    m->known = m->told = cursor; /* what lies before was counted, and told, in its time */
    m->bounded = false;
    int rc = find_replay_start(m, cursor.pos, &start, err);
    if (rc == 0)
        rc = maker_seek(m, (struct store_cursor){{start, 0}, 0}, err);
    while (rc == 0 && !atomic_load(stop)) {
        if (!m->open && (rc = next_commit(m, err)) != 0)
            break;
        if (store_cursor_compare(m->cursor, cursor) >= 0)
            break;
        event_batch_clear(scratch);
        rc = step(m, scratch, err);
    }
    event_batch_clear(scratch);
    return rc == 0 || rc == ERR_END ? maker_seek(m, cursor, err) : rc;
}
