/* SPDX-License-Identifier: Apache-2.0
 *
 * job: see job.h.
 */
#include "job.h"

#include "base/clock.h"
#include "db.h"

#define JOB_COLUMNS                                                                                          \
    "id, tenant, state, cancel, done, total, created_us, started_us, ended_us, kind, arguments, resume,"     \
    " result, who"

const char *account_job_state(enum job_state state)
{
#define X(name, text) text,
    static const char *const names[] = {JOB_STATES(X)};
#undef X
    return state < JOB_STATE_COUNT ? names[state] : "?";
}

static int check_text(const char *what, const char *text, struct err *err)
{
    return strlen(text) < JOB_TEXT_BYTES
               ? 0
               : err_set(err, ERR_LIMIT, "a job's %s have at most %d bytes", what, JOB_TEXT_BYTES - 1);
}

int account_job_add(struct account *a, const struct account_job *job, uint64_t *id, struct err *err)
{
    int rc = db_check_name("job kind", job->kind, JOB_KIND_BYTES - 1, err);
    if (rc == 0)
        rc = check_text("arguments", job->arguments, err);
    if (rc == 0)
        rc = db_run(a, NULL, err,
                    "INSERT INTO job (tenant, kind, arguments, who, created_us) VALUES ($1, $2, $3, $4, $5)",
                    DB_ARGS(INT(job->tenant), TEXT(job->kind), TEXT(job->arguments), TEXT(job->who),
                            INT(clock_real_us())));
    if (rc == ERR_LIMIT)
        return err_set(err, rc, "%d jobs wait already: cancel some, or wait for them", JOBS_WAITING);
    if (rc == 0 && id != NULL)
        *id = (uint64_t)sqlite3_last_insert_rowid(a->db);
    return rc;
}

static struct account_job read_job(sqlite3_stmt *stmt)
{
    return (struct account_job){
        .id = (uint64_t)sqlite3_column_int64(stmt, 0),
        .tenant = (uint32_t)sqlite3_column_int64(stmt, 1),
        .state = (enum job_state)sqlite3_column_int(stmt, 2),
        .cancel = sqlite3_column_int(stmt, 3) != 0,
        .done = (uint64_t)sqlite3_column_int64(stmt, 4),
        .all = (uint64_t)sqlite3_column_int64(stmt, 5),
        .created_us = sqlite3_column_int64(stmt, 6),
        .started_us = sqlite3_column_int64(stmt, 7),
        .ended_us = sqlite3_column_int64(stmt, 8),
        .kind = db_text(stmt, 9),
        .arguments = db_text(stmt, 10),
        .resume = db_text(stmt, 11),
        .result = db_text(stmt, 12),
        .who = db_text(stmt, 13),
    };
}

/* The one row that the statement gives; then the statement ends. */
static int hand_out(struct account *a, sqlite3_stmt *stmt, int rc,
                    int (*row)(void *, const struct account_job *), void *arg, struct err *err)
{
    if (rc == 0)
        rc = db_step(a, stmt, err);
    if (rc == ERR_END)
        rc = err_set(err, ERR_NOT_FOUND, "there is no such job");
    else if (rc == 0) {
        struct account_job job = read_job(stmt);
        rc = row(arg, &job);
    }
    db_end(a, stmt);
    return rc;
}

int account_job_get(struct account *a, uint32_t tenant, uint64_t id,
                    int (*row)(void *, const struct account_job *), void *arg, struct err *err)
{
    sqlite3_stmt *stmt;
    int rc =
        db_begin(a, &stmt, err, "SELECT " JOB_COLUMNS " FROM job WHERE id = $1 AND ($2 = 0 OR tenant = $2)",
                 DB_ARGS(INT(id), INT(tenant)));
    return hand_out(a, stmt, rc, row, arg, err);
}

int account_job_next(struct account *a, int (*row)(void *, const struct account_job *), void *arg,
                     struct err *err)
{
    sqlite3_stmt *stmt;
    int rc =
        db_begin(a, &stmt, err,
                 "SELECT " JOB_COLUMNS " FROM job WHERE state IN ($1, $2) ORDER BY state DESC, id LIMIT 1",
                 DB_ARGS(INT(JOB_WAITING), INT(JOB_RUNNING)));
    return hand_out(a, stmt, rc, row, arg, err);
}

int account_job_list(struct account *a, uint32_t tenant, uint64_t below, unsigned limit,
                     int (*row)(void *, const struct account_job *), void *arg, struct err *err)
{
    sqlite3_stmt *stmt;
    int rc = db_begin(a, &stmt, err,
                      "SELECT " JOB_COLUMNS " FROM job WHERE ($1 = 0 OR tenant = $1) AND ($2 = 0 OR id < $2)"
                      " ORDER BY id DESC LIMIT $3",
                      DB_ARGS(INT(tenant), INT(below), INT(limit)));
    while (rc == 0 && (rc = db_step(a, stmt, err)) == 0) {
        struct account_job job = read_job(stmt);
        rc = row(arg, &job);
    }
    db_end(a, stmt);
    return rc == ERR_END ? 0 : rc;
}

struct cancellation {
    uint32_t tenant;
    uint64_t id;
    enum job_state state;
};

static int note_state(void *arg, const struct account_job *job)
{
    *(enum job_state *)arg = job->state;
    return 0;
}

static int cancel_now(struct account *a, void *arg, struct err *err)
{
    struct cancellation *c = arg;
    int rc = account_job_get(a, c->tenant, c->id, note_state, &c->state, err);
    if (rc != 0)
        return rc;
    if (c->state == JOB_RUNNING)
        return db_run(a, NULL, err, "UPDATE job SET cancel = 1 WHERE id = $1", DB_ARGS(INT(c->id)));
    if (c->state != JOB_WAITING)
        return err_set(err, ERR_CONFLICT, "the job has ended: it is %s", account_job_state(c->state));
    c->state = JOB_CANCELLED;
    return account_job_end(a, c->id, JOB_CANCELLED, "", err);
}

int account_job_cancel(struct account *a, uint32_t tenant, uint64_t id, enum job_state *state,
                       struct err *err)
{
    struct cancellation c = {tenant, id, JOB_WAITING};
    int rc = account_atomically(a, cancel_now, &c, err);
    *state = c.state;
    return rc;
}

int account_job_start(struct account *a, uint64_t id, struct err *err)
{
    return db_run(a, NULL, err,
                  "UPDATE job SET state = $2, started_us = CASE started_us WHEN 0 THEN $3 ELSE started_us END"
                  " WHERE id = $1 AND state IN ($4, $2)",
                  DB_ARGS(INT(id), INT(JOB_RUNNING), INT(clock_real_us()), INT(JOB_WAITING)));
}

int account_job_progress(struct account *a, uint64_t id, uint64_t done, uint64_t all, const char *resume,
                         struct err *err)
{
    if (resume == NULL)
        return db_run(a, NULL, err, "UPDATE job SET done = $2, total = $3 WHERE id = $1",
                      DB_ARGS(INT(id), INT(done), INT(all)));
    int rc = check_text("notes", resume, err);
    return rc != 0 ? rc
                   : db_run(a, NULL, err, "UPDATE job SET done = $2, total = $3, resume = $4 WHERE id = $1",
                            DB_ARGS(INT(id), INT(done), INT(all), TEXT(resume)));
}

int account_job_end(struct account *a, uint64_t id, enum job_state state, const char *result, struct err *err)
{
    int rc = check_text("results", result, err);
    return rc != 0
               ? rc
               : db_run(a, NULL, err,
                        "UPDATE job SET state = $2, result = $3, ended_us = $4, resume = '' WHERE id = $1",
                        DB_ARGS(INT(id), INT(state), TEXT(result), INT(clock_real_us())));
}

int account_job_pending(struct account *a, const char *kind, bool *out, struct err *err)
{
    int64_t count = 0;
    int rc = db_integer(a, &count, err, "SELECT count(*) FROM job WHERE kind = $1 AND state IN ($2, $3)",
                        DB_ARGS(TEXT(kind), INT(JOB_WAITING), INT(JOB_RUNNING)));
    *out = count > 0;
    return rc;
}

int account_job_failure(const struct account_job *job, const char **why)
{
    const char *line = strchr(job->result, '\n');
    int code = line != NULL ? err_find(job->result, (size_t)(line - job->result)) : 0;
    *why = code != 0 ? line + 1 : job->result;
    return code;
}
