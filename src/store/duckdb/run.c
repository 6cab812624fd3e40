/* SPDX-License-Identifier: Apache-2.0
 *
 * run: see run.h.
 */
#include "store/duckdb/run.h"

#include "store/duckdb/fault.h"
#include "store/duckdb/layout.h"

#include <time.h>

enum { LOOK_AGAIN_NS = 50 * 1000 };

static duckdb_state bind_one(duckdb_prepared_statement prepared, idx_t i, const struct param *param)
{
    switch (param->type) {
    case TYPE_U8:
        return duckdb_bind_uint8(prepared, i, (uint8_t)param->u64);
    case TYPE_U16:
        return duckdb_bind_uint16(prepared, i, (uint16_t)param->u64);
    case TYPE_U32:
        return duckdb_bind_uint32(prepared, i, (uint32_t)param->u64);
    case TYPE_U64:
        return duckdb_bind_uint64(prepared, i, param->u64);
    case TYPE_BOOL:
        return duckdb_bind_boolean(prepared, i, param->u64 != 0);
    case TYPE_TS:
        return duckdb_bind_timestamp(prepared, i, (duckdb_timestamp){param->ts});
    case TYPE_IP:
    case TYPE_NETWORK:
    case TYPE_ID128:
        return duckdb_bind_uhugeint(prepared, i, layout_from_bytes(param->bytes));
    default:
        return duckdb_bind_varchar_length(prepared, i, param->text.n > 0 ? param->text.p : "", param->text.n);
    }
}

/* duckdb_execute_prepared spins while the last tasks of a question are with other threads, and takes the
 * processor from them that way. */
static int execute(duckdb_prepared_statement prepared, duckdb_result *result, struct err *err)
{
    duckdb_pending_result pending = NULL;
    duckdb_pending_state state = DUCKDB_PENDING_ERROR;
    int rc = 0;
    if (duckdb_pending_prepared(prepared, &pending) == DuckDBSuccess)
        do {
            state = duckdb_pending_execute_task(pending);
            if (state == DUCKDB_PENDING_NO_TASKS_AVAILABLE)
                (void)nanosleep(&(struct timespec){.tv_nsec = LOOK_AGAIN_NS}, NULL);
        } while (state == DUCKDB_PENDING_RESULT_NOT_READY || state == DUCKDB_PENDING_NO_TASKS_AVAILABLE);
    if (state == DUCKDB_PENDING_ERROR) /* it has a text, but no type: the words tell (fault.c) */
        rc = fault_set(err, DUCKDB_ERROR_INVALID, "duckdb question", duckdb_pending_error(pending));
    else if (duckdb_execute_pending(pending, result) != DuckDBSuccess)
        rc = fault_set(err, duckdb_result_error_type(result), "duckdb question", duckdb_result_error(result));
    duckdb_destroy_pending(&pending);
    return rc;
}

int run(duckdb_connection connection, const struct statement *statement, duckdb_result *result,
        struct err *err)
{
    duckdb_prepared_statement prepared = NULL;
    int rc = 0;
    if (duckdb_prepare(connection, statement->sql.p, &prepared) != DuckDBSuccess)
        rc = fault_set(err, DUCKDB_ERROR_INVALID, "duckdb question", duckdb_prepare_error(prepared));
    for (size_t i = 0; rc == 0 && i < statement->param_count; i++)
        if (bind_one(prepared, i + 1, &statement->params[i]) != DuckDBSuccess)
            rc = fault_set(err, DUCKDB_ERROR_INVALID, "duckdb question", duckdb_prepare_error(prepared));
    if (rc == 0)
        rc = execute(prepared, result, err);
    duckdb_destroy_prepare(&prepared);
    return rc;
}

int run_alone(duckdb_connection connection, const struct statement *statement, struct err *err)
{
    duckdb_result result = {0};
    int rc = run(connection, statement, &result, err);
    duckdb_destroy_result(&result);
    return rc;
}
