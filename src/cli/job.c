/* SPDX-License-Identifier: Apache-2.0
 *
 * job: the verbs job and erase. See job.h.
 */
#include "job.h"

#include "base/clock.h"
#include "table.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { BAR_CELLS = 30, LOOK_MS = 200 };

/* --- one job ------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *job, const char *name)
{
    const char *text = json_string_value(json_object_get(job, name));
    return text != NULL ? text : "";
}

static void draw_bar(const json_t *job)
{
    json_int_t done = json_integer_value(json_object_get(job, "done"));
    json_int_t all = json_integer_value(json_object_get(job, "all"));
    char cells[BAR_CELLS + 1];
    if (!isatty(STDERR_FILENO))
        return;
    for (int i = 0; i < BAR_CELLS; i++)
        cells[i] = all > 0 && i * all < done * BAR_CELLS ? '#' : '.';
    cells[BAR_CELLS] = '\0';
    (void)fprintf(stderr, "\r%s %lld [%s] %lld/%lld %s\033[K", text_of(job, "kind"),
                  (long long)json_integer_value(json_object_get(job, "id")), cells, (long long)done,
                  (long long)all, text_of(job, "state"));
}

static bool has_ended(const json_t *job)
{
    const char *state = text_of(job, "state");
    return strcmp(state, "waiting") != 0 && strcmp(state, "running") != 0;
}

int job_wait(struct cli *cli, json_int_t id, json_t **out)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/api/v1/jobs/%lld", (long long)id);
    for (*out = NULL;;) {
        json_decref(*out);
        int rc = client_ask(cli, "GET", path, SLICE(""), out, NULL);
        if (rc != 0)
            return rc;
        draw_bar(*out);
        if (has_ended(*out))
            break;
        (void)nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000}, NULL);
    }
    if (isatty(STDERR_FILENO))
        (void)fputc('\n', stderr);
    return 0;
}

/* How it ended, as a code. */
static int judge(struct cli *cli, const json_t *job)
{
    const char *state = text_of(job, "state");
    const char *name = text_of(job, "code");
    int code = err_find(name, strlen(name));
    if (strcmp(state, "failed") == 0)
        return cli_fail(cli, code != 0 ? code : ERR_ENGINE, "job %lld failed: %.400s",
                        (long long)json_integer_value(json_object_get(job, "id")), text_of(job, "error"));
    if (strcmp(state, "cancelled") == 0)
        return cli_fail(cli, ERR_CANCELLED, "job %lld was cancelled",
                        (long long)json_integer_value(json_object_get(job, "id")));
    return 0;
}

static void print_members(const json_t *object)
{
    const char *name;
    json_t *value;
    char cell[TABLE_CELL_BYTES];
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (json_is_object(value)) {
            print_members(value);
            continue;
        }
        (void)table_cell(value, cell);
        printf("%-18s %s\n", name, cell);
    }
}

static void print_job(struct cli *cli, const json_t *job)
{
    if (cli->json)
        cli_print_json(job);
    else
        print_members(job);
}

static bool hub_runs(struct cli *cli)
{
    int fd = -1;
    struct err before = cli->err;
    bool runs = client_connect(cli, &fd) == 0;
    if (fd >= 0)
        close(fd);
    cli->err = before;
    return runs;
}

int job_ask(struct cli *cli, const json_t *question, bool wait)
{
    char *body = json_dumps(question, JSON_COMPACT);
    json_t *job = NULL, *ended = NULL;
    if (body == NULL)
        return cli_fail(cli, ERR_USAGE, "what was given is not valid UTF-8");
    int rc = client_ask(cli, "POST", "/api/v1/jobs", slice_of(body), &job, NULL);
    free(body);
    if (rc != 0)
        return rc;
    json_int_t id = json_integer_value(json_object_get(job, "id"));
    bool runs = hub_runs(cli);
    if (wait && runs && (rc = job_wait(cli, id, &ended)) == 0)
        rc = judge(cli, ended);
    if (cli->json)
        cli_print_json(ended != NULL ? ended : job);
    else if (ended != NULL && rc == 0)
        print_members(json_object_get(ended, "result"));
    else if (rc == 0)
        printf("job %lld waits%s\n", (long long)id, runs ? "" : " until the hub runs");
    json_decref(ended);
    json_decref(job);
    return rc;
}

/* --- the verb job -------------------------------------------------------------------------------------- */

static int list_jobs(struct cli *cli, const char *tenant)
{
    static const char *const names[] = {"id",  "kind",    "tenant", "state", "done",
                                        "all", "created", "ended",  "who"};
    char path[CLIENT_PATH_BYTES] = "/api/v1/jobs";
    json_t *reply = NULL, *columns = json_array();
    if (client_parameter(path, "tenant", tenant) != 0) {
        json_decref(columns);
        return cli_fail(cli, ERR_USAGE, "--tenant is too long");
    }
    int rc = client_ask(cli, "GET", path, SLICE(""), &reply, NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)json_array_append_new(columns, json_string(names[i]));
    json_t *rows = json_object_get(reply, "rows");
    if (rc == 0 && cli->json)
        cli_print_json(reply);
    else if (rc == 0 && json_array_size(rows) == 0)
        printf("no jobs\n");
    else if (rc == 0)
        rc = table_print(stdout, columns, rows);
    json_decref(columns);
    json_decref(reply);
    return rc;
}

static int one_job(struct cli *cli, const char *action, const char *id)
{
    char path[CLIENT_PATH_BYTES] = "/api/v1/jobs/";
    uint64_t number;
    json_t *job = NULL;
    if (text_to_u64(slice_of(id), INT64_MAX, &number) != 0 || client_segment(path, id) != 0)
        return cli_fail(cli, ERR_USAGE, "'%.40s' is no number of a job", id);
    int rc;
    if (strcmp(action, "wait") == 0)
        rc = job_wait(cli, (json_int_t)number, &job);
    else
        rc = client_ask(cli, strcmp(action, "cancel") == 0 ? "DELETE" : "GET", path, SLICE(""), &job, NULL);
    if (rc == 0)
        print_job(cli, job);
    if (rc == 0 && strcmp(action, "wait") == 0)
        rc = judge(cli, job);
    json_decref(job);
    return rc;
}

int verb_job(struct cli *cli)
{
    struct flag flags[] = {{.name = "tenant"}};
    const char *operands[2];
    size_t n;
    int rc = cli_flags(cli, flags, 1, operands, 2, &n);
    if (rc != 0)
        return rc;
    if (n == 1 && strcmp(operands[0], "list") == 0)
        return list_jobs(cli, flags[0].count > 0 ? flags[0].values[0] : NULL);
    if (n == 2 && flags[0].count == 0 &&
        (strcmp(operands[0], "show") == 0 || strcmp(operands[0], "cancel") == 0 ||
         strcmp(operands[0], "wait") == 0))
        return one_job(cli, operands[0], operands[1]);
    return cli_fail(cli, ERR_USAGE,
                    "job: say list, or show, cancel or wait and a number: try `mail-analytics help job`");
}

/* --- the verb erase ------------------------------------------------------------------------------------ */

enum erase_flag { ERASE_TENANT, ERASE_TENANT_ID, ERASE_ADDRESS, ERASE_WHOLE, ERASE_NO_WAIT, ERASE_FLAGS };

static int list_tombstones(struct cli *cli, const struct flag *tenant)
{
    static const char *const names[] = {"id", "tenant", "tenant_id", "address", "before", "who"};
    char path[CLIENT_PATH_BYTES] = "/api/v1/tombstones";
    json_t *reply = NULL, *columns = json_array();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)json_array_append_new(columns, json_string(names[i]));
    int rc = client_parameter(path, "tenant", tenant->count > 0 ? tenant->values[0] : NULL);
    rc = rc != 0 ? cli_fail(cli, ERR_USAGE, "--tenant is too long")
                 : client_ask(cli, "GET", path, SLICE(""), &reply, NULL);
    json_t *rows = json_object_get(reply, "rows");
    if (rc == 0 && cli->json)
        cli_print_json(reply);
    else if (rc == 0 && json_array_size(rows) == 0)
        printf("nothing was erased\n");
    else if (rc == 0)
        rc = table_print(stdout, columns, rows);
    json_decref(columns);
    json_decref(reply);
    return rc;
}

static int forget_tombstone(struct cli *cli, const char *id)
{
    char path[CLIENT_PATH_BYTES] = "/api/v1/tombstones/";
    json_t *reply = NULL;
    if (client_segment(path, id) != 0)
        return cli_fail(cli, ERR_USAGE, "'%.40s' is no number of a tombstone", id);
    int rc = client_ask(cli, "DELETE", path, SLICE(""), &reply, NULL);
    if (rc == 0 && cli->json)
        cli_print_json(reply);
    else if (rc == 0)
        printf("forgot tombstone %s\n", id);
    json_decref(reply);
    return rc;
}

static int erase(struct cli *cli, const struct flag *flags)
{
    uint64_t number = 0;
    bool by_id = flags[ERASE_TENANT_ID].count > 0;
    if ((flags[ERASE_TENANT].count > 0) == by_id)
        return cli_fail(cli, ERR_USAGE,
                        "erase: --tenant NAME is missing, or --tenant-id N of one that was removed");
    if ((flags[ERASE_ADDRESS].count > 0) == (flags[ERASE_WHOLE].count > 0))
        return cli_fail(cli, ERR_USAGE,
                        "erase: say --address ADDRESS, or --whole-tenant for all that the tenant sent");
    if (by_id && text_to_u64(slice_of(flags[ERASE_TENANT_ID].values[0]), UINT32_MAX, &number) != 0)
        return cli_fail(cli, ERR_USAGE, "--tenant-id must be a number");
    json_t *question = json_pack("{s:s}", "kind", "erase");
    if (by_id)
        (void)json_object_set_new(question, "tenant_id", json_integer((json_int_t)number));
    else
        (void)json_object_set_new(question, "tenant", json_string_nocheck(flags[ERASE_TENANT].values[0]));
    if (flags[ERASE_ADDRESS].count > 0)
        (void)json_object_set_new(question, "address", json_string_nocheck(flags[ERASE_ADDRESS].values[0]));
    int rc = job_ask(cli, question, flags[ERASE_NO_WAIT].count == 0);
    json_decref(question);
    return rc;
}

int verb_erase(struct cli *cli)
{
    struct flag flags[ERASE_FLAGS] = {
        [ERASE_TENANT] = {.name = "tenant"},
        [ERASE_TENANT_ID] = {.name = "tenant-id"},
        [ERASE_ADDRESS] = {.name = "address"},
        [ERASE_WHOLE] = {.name = "whole-tenant", .type = FLAG_TRUE},
        [ERASE_NO_WAIT] = {.name = "no-wait", .type = FLAG_TRUE},
    };
    const char *operands[2];
    size_t n;
    int rc = cli_flags(cli, flags, ERASE_FLAGS, operands, 2, &n);
    if (rc != 0)
        return rc;
    if (n == 0)
        return erase(cli, flags);
    if (n == 1 && strcmp(operands[0], "list") == 0)
        return list_tombstones(cli, &flags[ERASE_TENANT]);
    if (n == 2 && strcmp(operands[0], "forget") == 0)
        return forget_tombstone(cli, operands[1]);
    return cli_fail(cli, ERR_USAGE, "erase doesn't know '%.60s': try `mail-analytics help erase`",
                    operands[0]);
}
