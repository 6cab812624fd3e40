/* SPDX-License-Identifier: Apache-2.0
 *
 * check: the verb that looks whether this hub can work: a line for each thing that works or says what to do.
 */
#include "check.h"

#include "client.h"
#include "hub/paths.h"

#include <stdio.h>

struct report {
    struct cli *cli;
    json_t *steps;
    int rc; /* of the first step that failed */
};

static void say(struct report *report, int rc, const char *step, const char *detail)
{
    if (!report->cli->json)
        printf("%-4s %s: %s\n", rc == 0 ? "ok" : "FAIL", step, detail);
    (void)json_array_append_new(report->steps,
                                json_pack("{s:s, s:b, s:s}", "step", step, "ok", rc == 0, "detail", detail));
    if (report->rc == 0)
        report->rc = rc;
}

static size_t count_rows(struct report *report, const char *step, const char *path)
{
    json_t *reply = NULL;
    int rc = client_ask(report->cli, "GET", path, SLICE(""), &reply, NULL);
    size_t n = json_array_size(json_object_get(reply, "rows"));
    if (rc != 0)
        say(report, rc, step, err_detail(&report->cli->err));
    json_decref(reply);
    return rc == 0 ? n : 0;
}

static bool has_ingest_key(const json_t *rows)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *key = json_array_get(rows, i), *scopes = json_object_get(key, "scopes");
        for (size_t s = 0; s < json_array_size(scopes); s++)
            if (strcmp(json_string_value(json_array_get(scopes, s)), "ingest") == 0 &&
                json_is_null(json_object_get(key, "revoked")))
                return true;
    }
    return false;
}

static void check_accounts(struct report *report)
{
    char line[96];
    json_t *reply = NULL;
    size_t tenants = count_rows(report, "tenants", "/api/v1/tenants");
    (void)snprintf(line, sizeof line, "%zu", tenants);
    say(report, tenants > 0 ? 0 : ERR_NOT_FOUND, "tenants",
        tenants > 0 ? line : "none: `mail-analytics tenant add NAME`");
    int rc = client_ask(report->cli, "GET", "/api/v1/apikeys", SLICE(""), &reply, NULL);
    bool ingest = rc == 0 && has_ingest_key(json_object_get(reply, "rows"));
    say(report, ingest ? 0 : ERR_NOT_FOUND, "API keys",
        ingest ? "one with scope ingest is there"
               : "none with scope ingest: `mail-analytics apikey add NAME --tenant T --scope ingest`");
    json_decref(reply);
}

static void check_hub(struct report *report)
{
    json_t *reply = NULL;
    int rc = client_ask(report->cli, "GET", "/api/v1/status", SLICE(""), &reply, NULL);
    if (rc == 0 && json_is_false(json_object_get(reply, "running"))) {
        int fd = -1;
        rc = client_connect(report->cli, &fd);
    }
    say(report, rc, "hub", rc == 0 ? "running" : err_detail(&report->cli->err));
    if (rc == 0) {
        const char *error = json_string_value(json_object_get(reply, "store_error"));
        json_int_t lost = json_integer_value(json_object_get(json_object_get(reply, "journal"), "dropped"));
        json_t *opening = json_object_get(json_object_get(reply, "store"), "opening");
        int failed = json_integer_value(opening) != 0 ? ERR_UNAVAILABLE : ERR_ENGINE;
        say(report, error != NULL ? failed : 0, "store", error != NULL ? error : "open");
        say(report, lost > 0 ? ERR_FULL : 0, "journal",
            lost > 0 ? "batches were dropped because it was full: raise journal_max" : "nothing was dropped");
    }
    json_decref(reply);
}

int verb_check(struct cli *cli)
{
    struct report report = {.cli = cli, .steps = json_array()};
    struct hub_paths paths;
    struct flag store = {.name = "store", .type = FLAG_TRUE};
    size_t n;
    int rc = cli_flags(cli, &store, 1, NULL, 0, &n);
    if (rc == 0 && store.count > 0) {
        json_decref(report.steps);
        return check_store(cli);
    }
    if (rc == 0)
        rc = paths_of(cli->settings, &paths, &cli->err);
    if (rc != 0) {
        json_decref(report.steps);
        return rc;
    }
    say(&report, 0, "configuration", "valid");
    check_hub(&report);
    check_accounts(&report);
    if (cli->json) {
        json_t *document = json_pack("{s:b, s:O}", "ok", report.rc == 0, "steps", report.steps);
        cli_print_json(document);
        json_decref(document);
    }
    json_decref(report.steps);
    return report.rc == 0 ? 0 : cli_fail(cli, report.rc, "not everything works, see above");
}
