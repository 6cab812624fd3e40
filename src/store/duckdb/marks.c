/* SPDX-License-Identifier: Apache-2.0
 *
 * marks: see marks.h. Two sets of numbers with open addressing.
 */
#include "store/duckdb/marks.h"

#include "store/duckdb/fault.h"
#include "store/duckdb/rolled.h"
#include "store/rollup.h"

#include <stdlib.h>

enum { KNOWN_MAX = 1 << 17, ROOM_MIN = 64 };

/* Period of a tenant as a number that is never 0: hours until the year 9999 have 27 bits. */
static uint64_t key_of(uint32_t tenant, bool daily, int64_t start)
{
    uint64_t number = (uint64_t)(start / (daily ? ROLLUP_DAY_US : ROLLUP_HOUR_US));
    return UINT64_C(1) << 63 | (uint64_t)tenant << 29 | (number & 0xfffffff) << 1 | daily;
}

static struct period period_of(uint64_t key)
{
    bool daily = (key & 1) != 0;
    return (struct period){daily, (uint32_t)(key >> 29),
                           (int64_t)(key >> 1 & 0xfffffff) * (daily ? ROLLUP_DAY_US : ROLLUP_HOUR_US)};
}

static size_t home(const struct mark_set *set, uint64_t key)
{
    return (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (set->room - 1);
}

/* Its place, or the free one where it would be; the set has room. */
static struct mark *place_of(const struct mark_set *set, uint64_t key)
{
    size_t at = home(set, key);
    while (set->marks[at].key != 0 && set->marks[at].key != key)
        at = (at + 1) & (set->room - 1);
    return &set->marks[at];
}

static bool has(const struct mark_set *set, uint64_t key)
{
    return set->room > 0 && place_of(set, key)->key == key;
}

static int grow(struct mark_set *set)
{
    struct mark_set larger = {.room = set->room == 0 ? ROOM_MIN : set->room * 2, .count = set->count};
    larger.marks = calloc(larger.room, sizeof *larger.marks);
    if (larger.marks == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < set->room; i++)
        if (set->marks[i].key != 0)
            *place_of(&larger, set->marks[i].key) = set->marks[i];
    free(set->marks);
    *set = larger;
    return 0;
}

static int put(struct mark_set *set, uint64_t key, int64_t touched_us)
{
    if (set->count * 2 >= set->room && grow(set) != 0)
        return ERR_NO_MEMORY;
    struct mark *mark = place_of(set, key);
    set->count += mark->key == 0;
    mark->key = key;
    mark->touched_us = mark->touched_us > touched_us ? mark->touched_us : touched_us;
    return 0;
}

/* What stands behind it in the same run moves up, as far as that is nearer to its home. */
static void take(struct mark_set *set, uint64_t key)
{
    if (!has(set, key))
        return;
    size_t mask = set->room - 1, hole = (size_t)(place_of(set, key) - set->marks);
    for (size_t at = (hole + 1) & mask; set->marks[at].key != 0; at = (at + 1) & mask)
        if (((at - home(set, set->marks[at].key)) & mask) >= ((at - hole) & mask)) {
            set->marks[hole] = set->marks[at];
            hole = at;
        }
    set->marks[hole] = (struct mark){0};
    set->count--;
}

static void empty(struct mark_set *set)
{
    free(set->marks);
    *set = (struct mark_set){0};
}

void marks_init(struct marks *marks)
{
    *marks = (struct marks){0};
    (void)pthread_mutex_init(&marks->mutex, NULL);
}

int marks_reset(struct marks *marks, duckdb_connection connection, struct err *err)
{
    marks_lock(marks);
    empty(&marks->known);
    empty(&marks->kept);
    marks_drop(marks);
    marks->connection = connection;
    int rc = marks_learn_kept(marks, connection, err);
    marks_unlock(marks);
    return rc;
}

void marks_fini(struct marks *marks)
{
    empty(&marks->known);
    empty(&marks->kept);
    empty(&marks->pending);
    (void)pthread_mutex_destroy(&marks->mutex);
}

/* Pending marks are 1 where rows lie, 0 where only their neighbours do. */
static bool is_noted(const struct marks *marks, uint64_t key)
{
    return has(&marks->pending, key) && place_of(&marks->pending, key)->touched_us == 1;
}

static int note(struct marks *marks, uint32_t tenant, int64_t hour)
{
    int rc = put(&marks->pending, key_of(tenant, false, hour), 1);
    for (int64_t start = hour - ROLLUP_HOUR_US; rc == 0 && start <= hour + ROLLUP_HOUR_US;
         start += ROLLUP_HOUR_US)
        if (start >= 0) {
            rc = put(&marks->pending, key_of(tenant, false, start), 0);
            if (rc == 0)
                rc = put(&marks->pending, key_of(tenant, true, start), 0);
        }
    return rc;
}

int marks_note(struct marks *marks, const struct event *rows, size_t count)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        uint64_t key = key_of(rows[i].tenant, false, rows[i].ts);
        if (rows[i].ts < 0 || key == marks->last)
            continue;
        if (!is_noted(marks, key))
            rc = note(marks, rows[i].tenant, rows[i].ts - rows[i].ts % ROLLUP_HOUR_US);
        marks->last = key;
    }
    return rc;
}

void marks_drop(struct marks *marks)
{
    empty(&marks->pending);
    marks->last = 0;
}

static bool append(duckdb_appender appender, uint64_t key)
{
    struct period period = period_of(key);
    return duckdb_append_bool(appender, period.daily) == DuckDBSuccess &&
           duckdb_append_uint32(appender, period.tenant) == DuckDBSuccess &&
           duckdb_append_timestamp(appender, (duckdb_timestamp){period.start}) == DuckDBSuccess &&
           duckdb_appender_end_row(appender) == DuckDBSuccess;
}

/* May it be kept? */
static bool is_doubtful(const struct marks *marks, uint64_t key)
{
    struct period period = period_of(key);
    uint64_t tenant = key_of(period.tenant, false, 0);
    return has(&marks->kept, tenant) && period.start <= place_of(&marks->kept, tenant)->touched_us;
}

static bool is_any_doubtful(const struct marks *marks)
{
    bool any = false;
    for (size_t i = 0; !any && marks->kept.count > 0 && i < marks->pending.room; i++) {
        uint64_t key = marks->pending.marks[i].key;
        any = key != 0 && !has(&marks->known, key) && is_doubtful(marks, key);
    }
    return any;
}

/* What is not known yet. */
static int append_pending(struct marks *marks, bool *fatal, struct err *err)
{
    duckdb_appender appender = NULL;
    bool good = true;
    int rc = 0;
    for (size_t i = 0; good && i < marks->pending.room; i++) {
        uint64_t key = marks->pending.marks[i].key;
        if (key == 0 || has(&marks->known, key))
            continue;
        if (appender == NULL)
            good = duckdb_appender_create_ext(marks->connection, ROLLED_CATALOG, NULL, "unrolled",
                                              &appender) == DuckDBSuccess;
        good = good && append(appender, key);
    }
    if (appender != NULL && (!good || duckdb_appender_close(appender) != DuckDBSuccess)) {
        duckdb_error_data data = duckdb_appender_error_data(appender);
        duckdb_error_type type = duckdb_error_data_error_type(data);
        *fatal = *fatal || fault_is_fatal(type, duckdb_error_data_message(data));
        rc = fault_set(err, type, "duckdb marks", duckdb_error_data_message(data));
        duckdb_destroy_error_data(&data);
    }
    (void)duckdb_appender_destroy(&appender);
    return rc;
}

/* All of them, less those of periods that are kept: only the file knows which these are. */
static int append_but_kept(struct marks *marks, bool *fatal, struct err *err)
{
    static const char leave_out[] =
        "DELETE FROM " ROLLED_IN "unrolled u WHERE EXISTS (SELECT 1 FROM " ROLLED_IN
        "rolled_periods p WHERE p.kept AND p.daily = u.daily AND p.tenant = u.tenant AND p.start = u.start)";
    int rc = fault_run(marks->connection, "BEGIN", fatal, err);
    if (rc == 0)
        rc = append_pending(marks, fatal, err);
    if (rc == 0)
        rc = fault_run(marks->connection, leave_out, fatal, err);
    if (rc == 0)
        rc = fault_run(marks->connection, "COMMIT", fatal, err);
    if (rc != 0)
        fault_rollback(marks->connection);
    return rc;
}

int marks_begin(struct marks *marks, bool *fatal, struct err *err)
{
    marks_lock(marks);
    return is_any_doubtful(marks) ? append_but_kept(marks, fatal, err) : append_pending(marks, fatal, err);
}

/* Known marks are only saved work: forgetting them all costs rows that say the same twice. */
static void remember(struct marks *marks, int64_t now_us)
{
    if (marks->known.count > KNOWN_MAX)
        empty(&marks->known);
    for (size_t i = 0; i < marks->pending.room; i++)
        if (marks->pending.marks[i].key != 0 && put(&marks->known, marks->pending.marks[i].key, now_us) != 0)
            return;
}

void marks_end(struct marks *marks, bool committed, int64_t now_us)
{
    if (committed)
        remember(marks, now_us);
    marks_drop(marks);
    marks_unlock(marks);
}

void marks_lock(struct marks *marks)
{
    (void)pthread_mutex_lock(&marks->mutex);
}

void marks_unlock(struct marks *marks)
{
    (void)pthread_mutex_unlock(&marks->mutex);
}

void marks_forget(struct marks *marks, const struct period *period)
{
    take(&marks->known, key_of(period->tenant, period->daily, period->start));
}

void marks_forget_all(struct marks *marks)
{
    empty(&marks->known);
}

/* Too many costs work, one too few a roll-up: so none is forgotten before the next marks_reset. */
int marks_learn_kept(struct marks *marks, duckdb_connection connection, struct err *err)
{
    duckdb_result result = {0};
    static const char sql[] =
        "SELECT tenant, max(start) FROM " ROLLED_IN "rolled_periods WHERE kept GROUP BY "
        "tenant";
    int rc = 0;
    if (duckdb_query(connection, sql, &result) != DuckDBSuccess)
        rc = fault_set(err, duckdb_result_error_type(&result), "duckdb", duckdb_result_error(&result));
    for (duckdb_data_chunk chunk = NULL; rc == 0 && (chunk = duckdb_fetch_chunk(result)) != NULL;) {
        const uint32_t *tenant = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 0));
        const int64_t *start = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 1));
        for (idx_t i = 0; rc == 0 && i < duckdb_data_chunk_get_size(chunk); i++)
            if (put(&marks->kept, key_of(tenant[i], false, 0), start[i]) != 0)
                rc = err_set(err, ERR_NO_MEMORY, "out of memory");
        duckdb_destroy_data_chunk(&chunk);
    }
    duckdb_destroy_result(&result);
    return rc;
}

int64_t marks_touched_us(const struct marks *marks, const struct period *period)
{
    uint64_t key = key_of(period->tenant, period->daily, period->start);
    return has(&marks->known, key) ? place_of(&marks->known, key)->touched_us : 0;
}
