/* SPDX-License-Identifier: Apache-2.0
 *
 * store: picks the engine by name and passes every call on. See store.h.
 */
#include "store/engines.h"
#include "store/refine.h"

static const struct store_engine *const engines[] = {&duckdb_engine, &null_engine};

static const struct store_engine *engine_of(const struct store *store)
{
    return *(const struct store_engine *const *)(const void *)store; /* its first member */
}

int store_open(struct store **out, const struct store_options *options, struct err *err)
{
    *out = NULL;
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++)
        if (strcmp(engines[i]->name, options->engine) == 0)
            return engines[i]->open(out, options, err);
    return err_set(err, ERR_UNSUPPORTED,
                   "store: the engine '%.32s' is not in this build; take duckdb or null", options->engine);
}

void store_close(struct store **store)
{
    if (*store != NULL)
        engine_of(*store)->close(store);
}

int store_cursor(struct store *store, struct store_cursor *out, struct err *err)
{
    return engine_of(store)->cursor(store, out, err);
}

int store_checkpointed(struct store *store, struct store_cursor *out, struct err *err)
{
    return engine_of(store)->checkpointed(store, out, err);
}

int store_append(struct store *store, const struct event *rows, size_t count, struct err *err)
{
    return engine_of(store)->append(store, rows, count, err);
}

int store_commit(struct store *store, struct store_cursor cursor, struct err *err)
{
    return engine_of(store)->commit(store, cursor, err);
}

int store_rollback(struct store *store, struct err *err)
{
    return engine_of(store)->rollback(store, err);
}

int store_checkpoint(struct store *store, struct err *err)
{
    return engine_of(store)->checkpoint(store, err);
}

bool store_gap(struct store *store, struct store_cursor *until)
{
    return engine_of(store)->gap(store, until);
}

int store_close_part(struct store *store, struct err *err)
{
    return engine_of(store)->close_part(store, err);
}

int store_parts(struct store *store, int (*each)(void *arg, const struct store_part *part), void *arg,
                struct err *err)
{
    return engine_of(store)->parts(store, each, arg, err);
}

int store_rewrite_part(struct store *store, uint64_t id, const struct store_rewrite *how,
                       const atomic_bool *cancelled, void (*progress)(void *arg, uint64_t done, uint64_t all),
                       void *arg, struct err *err)
{
    return engine_of(store)->rewrite_part(store, id, how, cancelled, progress, arg, err);
}

int store_sweep(struct store *store, const struct store_rewrite *how, const atomic_bool *cancelled,
                struct err *err)
{
    return engine_of(store)->sweep(store, how, cancelled, err);
}

int store_files(struct store *store, int (*each)(void *arg, const char *path, struct err *err), void *arg,
                struct err *err)
{
    return engine_of(store)->files(store, each, arg, err);
}

int store_rollups(struct store *store, const atomic_bool *cancelled,
                  int (*each)(void *arg, const char *path, struct err *err), void *arg, struct err *err)
{
    return engine_of(store)->rollups(store, cancelled, each, arg, err);
}

int store_verify(struct store *store, int (*found)(void *arg, const char *part, const char *what, bool good),
                 void *arg, struct err *err)
{
    return engine_of(store)->verify(store, found, arg, err);
}

int store_query(struct store *store, const struct query *query, struct query_sink *sink, struct err *err)
{
    int rc = query_check(query, err);
    sink->fast = false;
    sink->approximate = 0;
    return rc != 0 ? rc : refine(store, engine_of(store), query, sink, err);
}

int store_scan(struct store *store, struct store_scan *scan, int (*row)(void *arg, const struct event *event),
               void *arg, struct err *err)
{
    int rc = scan_check(scan, err);
    return rc != 0 ? rc : scan_run(store, engine_of(store), scan, row, arg, err);
}

int store_roll(struct store *store, int64_t now_us, const atomic_bool *cancelled, struct err *err)
{
    return engine_of(store)->roll(store, now_us, cancelled, err);
}

void store_cancel(struct store *store, atomic_bool *cancelled)
{
    atomic_store(cancelled, true);
    engine_of(store)->cancel(store);
}

void store_get_stats(struct store *store, struct store_stats *out)
{
    engine_of(store)->stats(store, out);
}
