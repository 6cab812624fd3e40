/* SPDX-License-Identifier: Apache-2.0
 *
 * kept: see kept.h. A commit that comes between the rolling and the note leaves a mark, which is rolled in
 * another round; one that comes after the note finds the period kept.
 */
#include "store/duckdb/kept.h"

#include "store/duckdb/fault.h"
#include "store/duckdb/guess.h"
#include "store/duckdb/rolled.h"

#include <stdlib.h>

enum { ROUNDS = 4 };
#define TAKE_US (600 * US_PER_SECOND)

struct keeping {
    struct roller *roller;
    const struct store_rewrite *how;
    bool *lost;
    struct err *err;
};

bool kept_concerns(const struct store_rewrite *how)
{
    bool any = false;
    for (size_t i = 0; how != NULL && i < how->keep_count; i++)
        any = any || (how->keeps[i].kind == STORE_KIND_EVENTS && how->keeps[i].before_us > 0);
    return any;
}

static int64_t bounded(int64_t before_us)
{
    return before_us < 0 ? 0 : before_us < ROLLED_LAST_US ? before_us : ROLLED_LAST_US;
}

/* The last of the moments. */
static int64_t latest(const struct store_rewrite *how)
{
    int64_t latest_us = 0;
    for (size_t i = 0; i < how->keep_count; i++)
        if (how->keeps[i].kind == STORE_KIND_EVENTS && bounded(how->keeps[i].before_us) > latest_us)
            latest_us = bounded(how->keeps[i].before_us);
    return latest_us;
}

/* kept_since: the moments; of tenant 0, for all that have none of their own. */
static int note_moments(const struct keeping *k, duckdb_connection connection)
{
    struct buf sql;
    const char *before = "INSERT INTO temp.kept_since VALUES ";
    buf_init(&sql, 64 << 20);
    int rc = buf_addf(&sql, "CREATE OR REPLACE TEMP TABLE kept_since (tenant UINTEGER, since TIMESTAMP); ");
    for (size_t i = 0; rc == 0 && i < k->how->keep_count; i++) {
        if (k->how->keeps[i].kind != STORE_KIND_EVENTS)
            continue;
        rc = buf_addf(&sql, "%s(%u, make_timestamp(%lld))", before, k->how->keeps[i].tenant,
                      (long long)bounded(k->how->keeps[i].before_us));
        before = ", ";
    }
    rc = rc != 0 ? err_set(k->err, rc, "out of memory") : fault_run(connection, sql.p, k->lost, k->err);
    buf_fini(&sql);
    return rc;
}

#define SINCE                                                                                                \
    "coalesce((SELECT max(since) FROM temp.kept_since k WHERE k.tenant = p.tenant), "                        \
    "(SELECT max(since) FROM temp.kept_since k WHERE k.tenant = 0), make_timestamp(0))"

static int count_marks(const struct keeping *k, duckdb_connection connection, int64_t *count)
{
    duckdb_result result = {0};
    int rc = 0;
    if (duckdb_query(connection, "SELECT count(*) FROM " ROLLED_IN "unrolled p WHERE p.start < " SINCE,
                     &result) != DuckDBSuccess)
        rc = fault_set(k->err, duckdb_result_error_type(&result), "duckdb", duckdb_result_error(&result));
    else
        *count = duckdb_value_int64(&result, 0, 0);
    duckdb_destroy_result(&result);
    return rc;
}

/* Under the marks' lock, and nothing is rolled. */
static int note(const struct keeping *k, struct marks *marks, duckdb_connection connection, int64_t *marked)
{
    int rc = count_marks(k, connection, marked);
    if (rc != 0 || *marked > 0)
        return rc;
    rc = fault_run(connection, "BEGIN", k->lost, k->err);
    if (rc == 0)
        rc = fault_run(connection,
                       "UPDATE " ROLLED_IN
                       "rolled_periods p SET kept = true, guessed = false WHERE (NOT kept OR guessed) AND "
                       "p.start < " SINCE,
                       k->lost, k->err);
    if (rc == 0)
        rc = marks_learn_kept(marks, connection, k->err);
    if (rc == 0)
        rc = fault_run(connection, "COMMIT", k->lost, k->err);
    if (rc != 0)
        fault_rollback(connection);
    return rc;
}

/* *marked: how many marks stand against it; 0: it is done. */
static int try_to_note(const struct keeping *k, int64_t *marked)
{
    struct pool *pool = k->roller->pool;
    struct marks *marks = k->roller->roll.marks;
    struct pool_slot *slot;
    roller_hold(k->roller);
    int rc = pool_take(pool, 0, TAKE_US, NULL, &slot, k->err);
    if (rc != 0)
        goto release;
    pool_begin(pool, slot);
    rc = guess_again(k->roller->roll.parts, slot->connection, k->err);
    pool_end(pool, slot);
    if (rc == 0)
        rc = note_moments(k, slot->connection);
    if (rc == 0) {
        marks_lock(marks);
        rc = note(k, marks, slot->connection, marked);
        marks_unlock(marks);
    }
    if (rc == 0)
        rc = fault_run(slot->connection, "DROP TABLE temp.kept_since", k->lost, k->err);
    if (rc != 0)
        duckdb_disconnect(&slot->connection); /* with what it began */
    pool_give(pool, slot);
release:
    roller_release(k->roller);
    return rc;
}

static int roll_and_note(struct roller *roller, const struct store_rewrite *how, const atomic_bool *cancelled,
                         bool *lost, struct err *err)
{
    struct keeping k = {roller, how, lost, err};
    int64_t marked = 1, before_us = latest(how);
    int rc = 0;
    for (int round = 0; rc == 0 && marked > 0 && round < ROUNDS; round++) {
        rc = roller_run(roller, before_us + 25 * ROLLUP_HOUR_US, before_us, cancelled, err); /* all are due */
        if (rc == 0)
            rc = try_to_note(&k, &marked);
    }
    if (rc == ERR_LIMIT && !instance_is_unfolded(roller->pool->instance) &&
        instance_unfold(roller->pool->instance, NULL) == 0)
        rc = err_set(err, ERR_BUSY, "duckdb had little memory for roll-ups and has more now; try again");
    if (rc == ERR_CANCELLED && (cancelled == NULL || !atomic_load(cancelled)))
        rc = err_set(err, ERR_BUSY, "the roll-ups of what goes were interrupted; try again");
    return rc == 0 && marked > 0
               ? err_set(err, ERR_BUSY, "events of days that go are still coming in; try again")
               : rc;
}

/* --- once for all parts -------------------------------------------------------------------------------- */

void kept_forget(struct kept *kept)
{
    free(kept->keeps);
    free(kept->parts);
    *kept = (struct kept){0};
}

static bool are_same(const struct kept *kept, const struct store_rewrite *how)
{
    bool same = kept->keep_count == how->keep_count;
    for (size_t i = 0; same && i < how->keep_count; i++)
        same = kept->keeps[i].tenant == how->keeps[i].tenant && kept->keeps[i].kind == how->keeps[i].kind &&
               kept->keeps[i].before_us == how->keeps[i].before_us;
    return same;
}

static const struct store_part *find(const struct store_part *parts, size_t count, uint64_t id)
{
    for (size_t i = 0; i < count; i++)
        if (parts[i].id == id)
            return &parts[i];
    return NULL;
}

/* now: as the part is now, or NULL. */
static bool is_noted(const struct kept *kept, const struct store_part *now, const struct store_rewrite *how,
                     unsigned shuts)
{
    const struct store_part *then = now != NULL ? find(kept->parts, kept->part_count, now->id) : NULL;
    return then != NULL && !then->open && then->generation == now->generation && kept->shuts == shuts &&
           are_same(kept, how);
}

/* Takes the parts. Without memory it is noted again with the next part. */
static void remember(struct kept *kept, const struct store_rewrite *how, struct store_part *parts,
                     size_t part_count, unsigned shuts)
{
    struct store_keep *keeps = malloc(how->keep_count * sizeof *keeps);
    if (keeps == NULL) {
        free(parts);
        return;
    }
    memcpy(keeps, how->keeps, how->keep_count * sizeof *keeps);
    *kept = (struct kept){keeps, how->keep_count, parts, part_count, shuts};
}

static int must_be_complete(struct parts *parts, struct err *err)
{
    struct place place;
    parts_place(parts, &place);
    return place.is_gap
               ? err_set(err, ERR_BUSY, "the store is being rebuilt from the journal; nothing goes meanwhile")
               : 0;
}

int kept_begin(struct kept *kept, struct roller *roller, uint64_t part, const struct store_rewrite *how,
               const atomic_bool *cancelled, bool *lost, struct err *err)
{
    struct parts *all = roller->roll.parts;
    struct store_part *parts = NULL;
    size_t count = 0;
    unsigned shuts = parts_shuts(all); /* before what is looked at */
    int rc = must_be_complete(all, err);
    if (rc == 0)
        rc = parts_copy(all, &parts, &count, err);
    if (rc != 0)
        return rc;
    if (is_noted(kept, find(parts, count, part), how, shuts)) {
        free(parts);
        return 0;
    }
    kept_forget(kept);
    rc = roll_and_note(roller, how, cancelled, lost, err);
    if (rc == 0)
        remember(kept, how, parts, count, shuts);
    else
        free(parts);
    return rc;
}
