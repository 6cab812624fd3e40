/* SPDX-License-Identifier: Apache-2.0
 *
 * upkeep: opening and closing of the intake, its snapshot, and what it does from time to time.
 */
#include "intake_impl.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    ANSWERS_BYTES = 8 * 1024 * 1024, /* more than a round can ask for */
    RECHECKS = 100,                  /* a tick */
    SEGMENTS_BACK = 4,               /* opens without a batch leave empty ones */
};

#define GENERATION_US (US_PER_SECOND / 2)

/* Reads what the journal holds behind in->pos. At a start it counts; later it only finds the end. */
static int follow(struct intake *in, bool count, struct err *err)
{
    struct journal_record record;
    struct commit commit;
    int rc;
    while ((rc = journal_reader_next(in->behind, &record, err)) == 0) {
        in->pos = record.next;
        if (!count || record.kind != COMMIT_BATCH)
            continue;
        if (commit_decode(record.payload, &commit) != 0) {
            log_warning(
                "journal record cannot be read, it is passed: was it written by a newer release? seq=%llu",
                (unsigned long long)record.seq);
            continue;
        }
        if (edges_replay(in->edges, &commit) != 0)
            return err_set(err, ERR_NO_MEMORY, "the edges in the journal need more memory than there is");
    }
    return rc == ERR_END ? 0 : rc;
}

/* hub_ts of the last batch that the journal still has, so that the next one's is later. */
static int find_latest(struct intake *in, struct err *err)
{
    struct journal_reader *reader;
    struct journal_record record;
    uint64_t number = journal_opened_at(in->journal).segment;
    int rc = 0;
    for (uint64_t back = 1; rc == 0 && in->latest_us == 0 && back <= SEGMENTS_BACK && back < number; back++) {
        rc = journal_reader_open(&reader, in->journal, NULL, (struct journal_pos){number - back, 0}, err);
        if (rc != 0)
            break;
        while ((rc = journal_reader_next(reader, &record, err)) == 0)
            if (record.kind == COMMIT_BATCH && record.ts_us > in->latest_us)
                in->latest_us = record.ts_us;
        rc = rc == ERR_END ? 0 : rc;
        journal_reader_close(&reader);
    }
    return rc;
}

int intake_restore(struct intake *in, struct err *err)
{
    int rc = edges_load(in->edges, in->snapshot_path, &in->pos, err);
    if (rc == ERR_CORRUPT || rc == ERR_IO || rc == ERR_LIMIT)
        log_warning("snapshot is damaged and read anew from the journal: look after the disk [%s]",
                    in->snapshot_path);
    else if (rc != 0 && rc != ERR_NOT_FOUND)
        return rc;
    if (rc != 0)
        in->pos = (struct journal_pos){0};
    struct journal_pos opened_at = journal_opened_at(in->journal);
    if (journal_pos_compare(in->pos, opened_at) > 0) /* the journal was wiped or restored */
        in->pos = opened_at;
    rc = journal_reader_open(&in->behind, in->journal, NULL, in->pos, err);
    if (rc == 0)
        rc = find_latest(in, err);
    return rc == 0 ? follow(in, true, err) : rc;
}

/* Not while an fdatasync is awaited: appending may have sealed a segment, so that the journal shows records
 * which the edges' progress does not count yet; a snapshot behind them would have them stored twice. */
void intake_save(struct intake *in)
{
    struct err err = {0};
    if (in->staged_batches > 0)
        return;
    in->snapshot_us = clock_monotonic_us();
    int rc = follow(in, false, &err);
    if (rc == 0)
        rc = edges_save(in->edges, in->snapshot_path, in->pos, &err);
    if (rc != 0 && !in->snapshot_broken)
        log_warning("snapshot cannot be written, the next start reads more of the journal: make room [%s]",
                    err_detail(&err));
    in->snapshot_broken = rc != 0;
    in->dirty = rc != 0;
}

static int create(struct intake **out, const struct receive_options *options)
{
    struct intake *in = calloc(1, sizeof *in);
    *out = in;
    if (in == NULL)
        return ERR_NO_MEMORY;
    (void)pthread_mutex_init(&in->lock, NULL);
    buf_init(&in->answers, ANSWERS_BYTES);
    buf_init(&in->commit, FRAME_BYTES + 1024);
    in->window = options->window;
    in->snapshot_us = in->recheck_us = clock_monotonic_us();
    int rc = edges_create(&in->edges);
    if (rc == 0)
        rc = sessions_create(&in->sessions, options->max_sessions);
    if (rc == 0)
        rc = batch_reader_create(&in->reader);
    if (rc == 0)
        rc = refusal_log_create(&in->refusal_log);
    if (rc == 0)
        rc = knocks_create(&in->knocks);
    return rc;
}

static void destroy(struct intake **intake)
{
    struct intake *in = *intake;
    if (in == NULL)
        return;
    journal_reader_close(&in->behind);
    account_close(&in->account);
    refusal_log_destroy(&in->refusal_log);
    knocks_destroy(&in->knocks);
    batch_reader_destroy(&in->reader);
    sessions_destroy(&in->sessions);
    edges_destroy(&in->edges);
    buf_fini(&in->answers);
    buf_fini(&in->commit);
    (void)pthread_mutex_destroy(&in->lock);
    free(in);
    *intake = NULL;
}

int intake_open(struct intake **out, const struct receive_options *options, struct journal *journal,
                struct err *err)
{
    struct intake *in;
    int rc = create(&in, options);
    if (rc != 0) {
        (void)err_set(err, rc, "no memory for the hub's sessions");
        goto fail;
    }
    in->journal = journal;
    if (snprintf(in->snapshot_path, sizeof in->snapshot_path, "%s/edges", options->state_dir) >=
        (int)sizeof in->snapshot_path) {
        rc = err_set(err, ERR_CONFIG, "state directory %s: the path is too long", options->state_dir);
        goto fail;
    }
    if ((rc = account_open(&in->account, options->account_path, err)) != 0 ||
        (rc = account_generation(in->account, &in->generation, err)) != 0 ||
        (rc = intake_restore(in, err)) != 0)
        goto fail;
    *out = in;
    return 0;
fail:
    destroy(&in);
    return rc;
}

void intake_close(struct intake **intake)
{
    if (*intake == NULL)
        return;
    intake_commit(*intake);
    intake_save(*intake);
    destroy(intake);
}

/* Has the control data changed, or is it time anyway? Then every session is to be checked. */
static void poll_account(struct intake *in, int64_t now_us)
{
    struct err err;
    uint64_t generation = in->generation;
    if (now_us - in->generation_us < GENERATION_US)
        return;
    in->generation_us = now_us;
    if (account_generation(in->account, &generation, &err) != 0)
        return; /* the next greeting tells */
    if (generation == in->generation && now_us - in->recheck_us < INTAKE_RECHECK_US)
        return;
    in->generation = generation;
    in->recheck_us = now_us;
    in->check_round++;
}

static bool check_sessions(struct intake *in, int64_t now_us)
{
    int checks = 0;
    for (struct session *session = sessions_oldest(in->sessions), *newer; session != NULL; session = newer) {
        newer = session->newer;
        if (now_us - session->heard_us > INTAKE_SILENT_US)
            sessions_close(in->sessions, session);
        else if (session->checked != in->check_round) {
            if (checks++ == RECHECKS)
                return true;
            intake_recheck(in, session);
        }
    }
    return false;
}

static bool tick(struct intake *in, int64_t now_us)
{
    poll_account(in, now_us);
    if (in->ticked_round == in->check_round && now_us - in->ticked_us < US_PER_SECOND)
        return false;
    bool more = check_sessions(in, now_us);
    if (!more) {
        in->ticked_round = in->check_round;
        in->ticked_us = now_us;
    }
    return more;
}

bool intake_tick(struct intake *in)
{
    int64_t now_us = clock_monotonic_us();
    pthread_mutex_lock(&in->lock);
    bool more = tick(in, now_us);
    pthread_mutex_unlock(&in->lock);
    if (in->dirty && now_us - in->snapshot_us > INTAKE_SNAPSHOT_US)
        intake_save(in); /* reads what others may read as well */
    return more;
}
