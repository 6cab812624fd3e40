/* SPDX-License-Identifier: Apache-2.0
 *
 * check --store: see check.h.
 */
#include "check.h"

#include "base/clock.h"
#include "client.h"
#include "hub/paths.h"
#include "store/store.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_US (24 * 3600 * US_PER_SECOND)

struct finding {
    struct cli *cli;
    json_t *rows;
    size_t things, bad;
};

static int take(void *arg, const char *part, const char *what, bool good)
{
    struct finding *finding = arg;
    finding->things++;
    finding->bad += !good;
    if (!finding->cli->json) {
        printf("%-4s %s: %s\n", good ? "ok" : "FAIL", part, what);
        (void)fflush(stdout); /* the next may take a while */
    }
    return json_array_append_new(finding->rows,
                                 json_pack("{s:s, s:s, s:b}", "part", part, "found", what, "good", good)) == 0
               ? 0
               : ERR_NO_MEMORY;
}

static int ask_hub(struct finding *finding)
{
    json_t *reply = NULL;
    finding->cli->patience_us = PATIENCE_US;
    int rc = client_ask(finding->cli, "GET", "/api/v1/store/check", SLICE(""), &reply, NULL);
    const json_t *rows = json_object_get(reply, "rows");
    for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *part = json_string_value(json_object_get(row, "part"));
        const char *what = json_string_value(json_object_get(row, "found"));
        if (part != NULL && what != NULL)
            rc = take(finding, part, what, json_is_true(json_object_get(row, "good")));
    }
    json_decref(reply);
    return rc;
}

/* Only what is there: looking must not make a store. */
static int look_here(struct finding *finding, const char *dir)
{
    struct store *store;
    struct stat status;
    struct cli *cli = finding->cli;
    const struct store_options options = {.engine = cli->settings->store,
                                          .dir = dir,
                                          .memory_bytes = cli->settings->store_memory,
                                          .query_threads = 1};
    if (stat(dir, &status) != 0)
        return cli_fail(cli, ERR_NOT_FOUND, "there is no store in %s", dir);
    int rc = store_open(&store, &options, &cli->err);
    if (rc != 0)
        return rc;
    rc = store_verify(store, take, finding, &cli->err);
    store_close(&store);
    return rc;
}

static int look(struct finding *finding)
{
    struct hub_paths paths;
    struct cli *cli = finding->cli;
    int fd = -1, rc = client_connect(cli, &fd);
    if (rc == 0) {
        (void)close(fd);
        return ask_hub(finding);
    }
    if (rc != ERR_UNAVAILABLE)
        return rc;
    rc = paths_of(cli->settings, &paths, &cli->err);
    return rc == 0 ? look_here(finding, paths.store) : rc;
}

int check_store(struct cli *cli)
{
    struct finding finding = {.cli = cli, .rows = json_array()};
    int rc = look(&finding);
    if (cli->json && rc == 0) {
        json_t *document = json_pack("{s:b, s:O}", "ok", finding.bad == 0, "rows", finding.rows);
        cli_print_json(document);
        json_decref(document);
    }
    json_decref(finding.rows);
    if (rc != 0)
        return rc;
    if (finding.bad > 0)
        return cli_fail(cli, ERR_CORRUPT, "%zu of %zu things are not right, see above", finding.bad,
                        finding.things);
    if (!cli->json)
        printf("%zu things were looked at, all are right\n", finding.things);
    return 0;
}
