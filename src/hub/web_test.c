/* SPDX-License-Identifier: Apache-2.0
 *
 * web: a real loop, store and account file; a thread is the clients. A question ends with its client, and
 * with the hub, which says so.
 */
#include "hub/web.h"

#include "base/clock.h"
#include "base/test.h"
#include "config/config.h"
#include "store/fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000, SEEN_MS = 5000, TRIES = 10 };
#define KEY "ma_RRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRR"

struct world {
    char *dir, socket[96], request[1024], failure[512];
    uv_loop_t loop;
    uv_async_t done;
    struct hub_config settings;
    struct hub_paths paths;
    struct store *store;
    struct web *web;
    unsigned left; /* clients that went away */
    int waits;     /* the client that is there when the hub stops */
};

static void fail_with(struct world *w, const char *what)
{
    (void)snprintf(w->failure, sizeof w->failure, "%s", what);
}

static int is_ready(void *arg, char *why, size_t size)
{
    (void)arg;
    (void)why;
    (void)size;
    return 0;
}

static int no_metrics(void *arg, struct buf *text)
{
    (void)arg;
    return buf_addf(text, "# none\n");
}

static void make_key(const struct world *w)
{
    struct account *account;
    struct account_key key = {.name = "k", .scopes = SCOPE_READ};
    struct err err = {0};
    char secret[ACCOUNT_KEY_TEXT_BYTES];
    if (account_open(&account, w->paths.account, &err) != 0 ||
        account_tenant_add(account, "t", &key.tenant, &err) != 0 ||
        account_key_add(account, &key, KEY, secret, NULL, &err) != 0)
        fail_msg("%s", err_detail(&err));
    account_close(&account);
}

/* With so much in it that a question takes a while. */
static void open_store(struct world *w)
{
    struct fixture fixture;
    struct err err = {0};
    char path[512];
    (void)snprintf(path, sizeof path, "%s/store", w->dir);
    struct store_options options = {.engine = "duckdb",
                                    .dir = path,
                                    .memory_bytes = 512 << 20,
                                    .query_threads = 2,
                                    .query_per_tenant = 2};
    if (store_open(&w->store, &options, &err) != 0)
        fail_msg("%s", err_detail(&err));
    fixture_init(&fixture, 8, 40000);
    for (uint32_t round = 0; round < 8; round++)
        assert_int_equal(store_append(w->store, fixture.events, fixture.count, &err), 0);
    assert_int_equal(store_commit(w->store, (struct store_cursor){{1, 1}, 0}, &err), 0);
    fixture_fini(&fixture);
}

static void open_web(struct world *w)
{
    struct err err = {0};
    w->settings = (struct hub_config){.http = w->socket,
                                      .https = "",
                                      .ui = "",
                                      .http_connections = 10,
                                      .http_connections_per_address = 10,
                                      .http_idle_timeout = PATIENCE_MS * 1000,
                                      .http_head_timeout = PATIENCE_MS * 1000,
                                      .http_body_timeout = PATIENCE_MS * 1000,
                                      .query_timeout = 300 * US_PER_SECOND,
                                      .query_threads = 2};
    struct web_options options = {.settings = &w->settings,
                                  .paths = &w->paths,
                                  .context = {.query_timeout_us = 300 * US_PER_SECOND},
                                  .ready = is_ready,
                                  .metrics = no_metrics};
    if (web_open(&w->web, &w->loop, &options, &err) != 0)
        fail_msg("%s", err_detail(&err));
    web_set_store(w->web, w->store);
}

static int ask(struct world *w)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", w->socket + strlen("unix:"));
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        write(fd, w->request, strlen(w->request)) < 0)
        fail_with(w, "can't connect and send");
    return fd;
}

static void expect(struct world *w, int fd, const char *status, const char *part)
{
    char reply[65536];
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    ssize_t n = poll(&wanted, 1, PATIENCE_MS) > 0 ? read(fd, reply, sizeof reply - 1) : 0;
    reply[n > 0 ? n : 0] = '\0';
    if (strncmp(reply, status, strlen(status)) != 0 || strstr(reply, part) == NULL)
        (void)snprintf(w->failure, sizeof w->failure, "not %s with %s: '%.200s'", status, part, reply);
    close(fd);
}

/* False: they were not seen. */
static bool wait_for_questions(struct world *w, uint64_t running)
{
    struct store_stats stats;
    struct pollfd wait = {.fd = -1};
    for (int tries = 0; tries < SEEN_MS; tries++) {
        store_get_stats(w->store, &stats);
        if (stats.queries_running == running)
            return true;
        (void)poll(&wait, 0, 1);
    }
    return false;
}

static uint64_t query_errors(struct world *w)
{
    struct store_stats stats;
    store_get_stats(w->store, &stats);
    return stats.query_errors;
}

/* Two ask at once, one leaves: does its question end without an answer, and soon? The other is answered. A
 * machine under load may see them too late. */
static bool one_is_cancelled(struct world *w, int64_t whole_us)
{
    uint64_t before = query_errors(w);
    int leaves = ask(w), stays = ask(w);
    (void)wait_for_questions(w, 2);
    int64_t left_us = clock_monotonic_us();
    close(leaves);
    w->left++;
    (void)wait_for_questions(w, 1);
    bool soon = clock_monotonic_us() - left_us <= whole_us / 2;
    expect(w, stays, "HTTP/1.1 200 ", "\"rows\"");
    return query_errors(w) == before + 1 && soon;
}

static void *clients(void *arg)
{
    struct world *w = arg;
    int64_t begun_us = clock_monotonic_us();
    expect(w, ask(w), "HTTP/1.1 200 ", "\"rows\"");
    int64_t whole_us = clock_monotonic_us() - begun_us;
    while (w->failure[0] == '\0' && !one_is_cancelled(w, whole_us))
        if (w->left == TRIES)
            fail_with(w, "no question ends sooner than a whole one when its client leaves");
    w->waits = ask(w);
    if (!wait_for_questions(w, 1))
        fail_with(w, "the last question doesn't run");
    (void)uv_async_send(&w->done);
    return NULL;
}

static void on_done(uv_async_t *done)
{
    struct world *w = done->data;
    uv_close((uv_handle_t *)done, NULL);
    web_stop(w->web);
}

static void questions_end_with_their_clients(void **state)
{
    (void)state;
    static const char question[] =
        "{\"measures\":[\"messages\",\"bytes\",\"clients\",\"requests\"],\"by\":[\"recipient_domain\","
        "\"stage\",\"sender\"],\"interval\":\"1h\",\"from\":\"2026-02-28T00:00:00Z\","
        "\"to\":\"2026-03-10T00:00:00Z\",\"limit\":1}";
    static struct world w;
    pthread_t thread;
    struct web_stats counted;
    w.dir = fixture_directory();
    assert_non_null(w.dir);
    (void)snprintf(w.socket, sizeof w.socket, "unix:%s/http.sock", w.dir);
    (void)snprintf(w.paths.account, sizeof w.paths.account, "%s/account.db", w.dir);
    (void)snprintf(w.request, sizeof w.request,
                   "POST /api/v1/query HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " KEY
                   "\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                   sizeof question - 1, question);
    assert_int_equal(uv_loop_init(&w.loop), 0);
    make_key(&w);
    open_store(&w);
    open_web(&w);
    w.done.data = &w;
    assert_int_equal(uv_async_init(&w.loop, &w.done, on_done), 0);
    assert_int_equal(pthread_create(&thread, NULL, clients, &w), 0);
    assert_int_equal(uv_run(&w.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    if (w.failure[0] == '\0')
        expect(&w, w.waits, "HTTP/1.1 503 ", "the hub is stopping");
    if (w.failure[0] != '\0')
        fail_msg("%s", w.failure);
    assert_in_range(query_errors(&w), 2, TRIES + 1);
    web_get_stats(w.web, &counted);
    assert_in_range(counted.abandoned, 1, w.left);
    assert_int_equal(counted.connections, 0);
    web_destroy(&w.web);
    assert_int_equal(uv_loop_close(&w.loop), 0);
    store_close(&w.store);
    fixture_remove(w.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(questions_end_with_their_clients)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
