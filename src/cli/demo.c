/* SPDX-License-Identifier: Apache-2.0
 *
 * demo: the verb. Gives the tenant the domains, networks and the ingest key that the made-up mail needs
 * (through the control socket, as `mail-analytics load` does), ships the past, then asks the policy port
 * until Ctrl-C.
 */
#include "demo.h"

#include "base/clock.h"
#include "client.h"
#include "hub/paths.h"
#include "traffic.h"
#include "wire/curve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_BYTES = 32, KEY_TEXT_BYTES = 64, SERVER_BYTES = 256 };

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: it ends waits */
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

/* The demo's own ingest key: made once, kept in its directory. */
static int own_key(struct cli *cli, const char *path, char out[KEY_TEXT_BYTES])
{
    unsigned char random[KEY_BYTES];
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, out, KEY_TEXT_BYTES - 1);
        (void)close(fd);
        if (n > 0) {
            out[n] = '\0';
            return 0;
        }
    }
    if (sodium_init() < 0)
        return cli_fail(cli, ERR_IO, "no randomness");
    randombytes_buf(random, sizeof random);
    memcpy(out, "ma_", 3);
    (void)sodium_bin2base64(out + 3, KEY_TEXT_BYTES - 3, random, sizeof random,
                            sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool written = fd >= 0 && write(fd, out, strlen(out)) == (ssize_t)strlen(out);
    if (fd < 0 || close(fd) != 0 || !written)
        return err_errno(&cli->err, errno, "%s can't be written", path);
    return 0;
}

/* Loading it again changes nothing. */
static int prepare_tenant(struct cli *cli, const char *tenant, const char *key)
{
    json_t *domains = json_array(), *networks = json_array(), *reply = NULL;
    for (size_t i = 0; traffic_rule_domains[i] != NULL; i++)
        (void)json_array_append_new(domains, json_string(traffic_rule_domains[i]));
    for (size_t i = 0; traffic_rule_networks[i] != NULL; i++)
        (void)json_array_append_new(networks, json_string(traffic_rule_networks[i]));
    json_t *fixture = json_pack("{s:[{s:s, s:o, s:o, s:[{s:s, s:[s], s:s}]}]}", "tenants", "name", tenant,
                                "domains", domains, "networks", networks, "apikeys", "name", DEMO_EDGE,
                                "scopes", "ingest", "key", key);
    char *text = fixture != NULL ? json_dumps(fixture, JSON_COMPACT) : NULL;
    int rc = text == NULL ? cli_fail(cli, ERR_NO_MEMORY, "out of memory")
                          : client_ask(cli, "POST", "/api/v1/load", slice_of(text), &reply, NULL);
    free(text);
    json_decref(fixture);
    json_decref(reply);
    return rc;
}

/* Where a client on this machine reaches what the hub listens on: all addresses means loopback's port. */
static int wire_address(struct cli *cli, char out[SERVER_BYTES])
{
    const char *local = cli->settings->server_local_address;
    const char *from = local[0] != '\0' ? local : cli->settings->server_address;
    const char *colon = strrchr(from, ':');
    bool any = strncmp(from, "tcp://*:", 8) == 0 || strncmp(from, "tcp://0.0.0.0:", 14) == 0;
    int n = any ? snprintf(out, SERVER_BYTES, "tcp://127.0.0.1%s", colon)
                : snprintf(out, SERVER_BYTES, "%s", from);
    return n < SERVER_BYTES ? 0 : cli_fail(cli, ERR_CONFIG, "server_address is too long");
}

static int ship_history(struct cli *cli, struct demo_history *history, const char *tenant)
{
    char dir[PATHS_BYTES + 16], key_path[PATHS_BYTES + 32], key[KEY_TEXT_BYTES], server[SERVER_BYTES];
    struct hub_paths paths;
    struct curve_keys keys;
    uint64_t requests;
    int rc = paths_of(cli->settings, &paths, &cli->err);
    if (rc != 0)
        return rc;
    (void)snprintf(dir, sizeof dir, "%s/demo", paths.data);
    (void)snprintf(key_path, sizeof key_path, "%s/api-key", dir);
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return err_errno(&cli->err, errno, "%s can't be made", dir);
    rc = own_key(cli, key_path, key);
    if (rc == 0)
        rc = prepare_tenant(cli, tenant, key);
    if (rc == 0)
        rc = curve_keys_load(&keys, paths.key, &cli->err);
    if (rc == 0)
        rc = wire_address(cli, server);
    if (rc != 0)
        return rc;
    history->dir = dir;
    history->server = server;
    history->server_key = keys.public_key;
    history->api_key = key;
    int64_t began_us = clock_monotonic_us();
    rc = demo_history_ship(history, &requests, &cli->err);
    if (rc == 0)
        printf("history: %llu requests are at the hub after %.1f s\n", (unsigned long long)requests,
               (double)(clock_monotonic_us() - began_us) / 1e6);
    (void)fflush(stdout);
    return rc;
}

static int number(struct cli *cli, const struct flag *flag, double fallback, double most, double *out)
{
    char *end;
    *out = fallback;
    if (flag->count == 0)
        return 0;
    *out = strtod(flag->values[0], &end);
    if (end == flag->values[0] || *end != '\0' || !(*out >= 0) || *out > most)
        return cli_fail(cli, ERR_USAGE, "--%s must be a number from 0 to %.0f", flag->name, most);
    return 0;
}

enum demo_flag { HISTORY, MAILS, RATE, POLICY, TENANT, SEED, FLAG_COUNT };

static int read_flags(struct cli *cli, struct flag *flags, struct demo_history *history,
                      struct demo_live *live)
{
    double seed;
    size_t operands;
    int64_t span_us = INT64_C(30) * 86400 * US_PER_SECOND;
    int rc = cli_flags(cli, flags, FLAG_COUNT, NULL, 0, &operands);
    if (rc == 0 && flags[HISTORY].count > 0 &&
        text_to_duration_us(slice_of(flags[HISTORY].values[0]), &span_us) != 0)
        rc = cli_fail(cli, ERR_USAGE, "--history must be a duration such as 30d");
    if (rc == 0)
        rc = number(cli, &flags[MAILS], 5000, 1e7, &history->messages_per_day);
    if (rc == 0)
        rc = number(cli, &flags[RATE], 2, 10000, &live->messages_per_s);
    if (rc == 0)
        rc = number(cli, &flags[SEED], 1, 1e9, &seed);
    if (rc != 0)
        return rc;
    history->seed = (uint64_t)seed;
    live->seed = (uint64_t)seed + 1;
    history->to_us = clock_real_us();
    history->from_us = history->to_us - span_us;
    live->policy = flags[POLICY].count > 0 ? flags[POLICY].values[0] : "127.0.0.1:9998";
    return 0;
}

int verb_demo(struct cli *cli)
{
    struct flag flags[FLAG_COUNT] = {
        [HISTORY] = {.name = "history"}, [MAILS] = {.name = "mails-per-day"}, [RATE] = {.name = "rate"},
        [POLICY] = {.name = "policy"},   [TENANT] = {.name = "tenant"},       [SEED] = {.name = "seed"},
    };
    struct demo_history history = {.stop = &stop};
    struct demo_live live = {.stop = &stop};
    uint64_t requests = 0;
    int rc = read_flags(cli, flags, &history, &live);
    if (rc != 0)
        return rc;
    catch_signals();
    rc = ship_history(cli, &history, flags[TENANT].count > 0 ? flags[TENANT].values[0] : "demo");
    if (rc != 0 || stop || live.messages_per_s <= 0)
        return rc;
    printf("live: %g messages a second through %s; Ctrl-C ends it\n", live.messages_per_s, live.policy);
    (void)fflush(stdout);
    rc = demo_live_run(&live, &requests, &cli->err);
    if (rc == 0)
        printf("live: %llu requests were answered\n", (unsigned long long)requests);
    return rc;
}
