/* SPDX-License-Identifier: Apache-2.0
 *
 * control: a real socket and a real loop; a thread is the client.
 */
#include "base/clock.h"
#include "base/test.h"
#include "hub/control.h"
#include "store/fixture.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 };

struct world {
    char dir[64], socket[96], account[96];
    uv_loop_t loop;
    uv_async_t done;
    struct control *control;
    void (*client)(struct world *);
    char failure[256];
};

static int status_json(void *arg, struct buf *json)
{
    (void)arg;
    return buf_addf(json, "{\"running\":true}");
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -1;
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/control-test-XXXXXX");
    if (mkdtemp(w->dir) == NULL)
        return -1;
    (void)snprintf(w->socket, sizeof w->socket, "%s/control.sock", w->dir);
    (void)snprintf(w->account, sizeof w->account, "%s/account.db", w->dir);
    *state = w;
    return uv_loop_init(&w->loop);
}

static int teardown(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {"account.db", "account.db-wal", "account.db-shm", "control.sock"};
    char path[128];
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", w->dir, names[i]);
        (void)unlink(path);
    }
    int rc = rmdir(w->dir) + uv_loop_close(&w->loop);
    free(w);
    return rc;
}

static void open_control(struct world *w, int (*status)(void *arg, struct buf *json))
{
    struct err err = {0};
    struct control_options options = {.path = w->socket,
                                      .account_path = w->account,
                                      .context = {.status = status, .query_timeout_us = 300 * US_PER_SECOND}};
    if (control_open(&w->control, &w->loop, &options, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

static int dial(struct world *w)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", w->socket);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        (void)snprintf(w->failure, sizeof w->failure, "can't connect");
    return fd;
}

/* Reads until the other side closes. */
static void read_all(int fd, char *out, size_t size)
{
    size_t n = 0;
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    while (n + 1 < size && poll(&wanted, 1, PATIENCE_MS) > 0) {
        ssize_t got = read(fd, out + n, size - n - 1);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    out[n] = '\0';
}

static void ask(struct world *w, const char *request, const char *expected)
{
    char reply[8192];
    int fd = dial(w);
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
        (void)snprintf(w->failure, sizeof w->failure, "can't send");
    read_all(fd, reply, sizeof reply);
    if (strstr(reply, expected) == NULL)
        (void)snprintf(w->failure, sizeof w->failure, "'%.60s' → '%.120s'", request, reply);
    close(fd);
}

static void *client_thread(void *arg)
{
    struct world *w = arg;
    w->client(w);
    (void)uv_async_send(&w->done);
    return NULL;
}

static void on_done(uv_async_t *done)
{
    struct world *w = done->data;
    uv_close((uv_handle_t *)done, NULL);
    control_close(&w->control);
}

static void run_open(struct world *w, void (*client)(struct world *), uv_async_cb then)
{
    pthread_t thread;
    w->client = client;
    w->done.data = w;
    assert_int_equal(uv_async_init(&w->loop, &w->done, then), 0);
    assert_int_equal(pthread_create(&thread, NULL, client_thread, w), 0);
    assert_int_equal(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    if (w->failure[0] != '\0')
        fail_msg("%s", w->failure);
}

static void run(struct world *w, void (*client)(struct world *))
{
    open_control(w, status_json);
    run_open(w, client, on_done);
}

static void talk(struct world *w)
{
    struct stat st;
    if (stat(w->socket, &st) != 0 || (st.st_mode & 0777) != 0660)
        (void)snprintf(w->failure, sizeof w->failure, "mode %o", st.st_mode & 0777);
    ask(w, "GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n");
    ask(w, "GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\n{\"running\":true}");
    ask(w, "POST /api/v1/tenants HTTP/1.1\r\nContent-Length: 15\r\n\r\n{\"name\":\"acme\"}", "HTTP/1.1 201");
    ask(w, "POST /api/v1/tenants HTTP/1.1\r\nContent-Length: 15\r\n\r\n{\"name\":\"acme\"}", "HTTP/1.1 409");
    ask(w, "GET /api/v1/tenants HTTP/1.1\r\n\r\n", "\"name\":\"acme\"");
    ask(w, "POST /api/v1/query HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 503");
    ask(w, "GET /nothing HTTP/1.1\r\n\r\n", "application/problem+json");
    ask(w, "PUT /api/v1/tenants HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n");
    ask(w, "PUT /api/v1/tenants?a=b HTTP/1.1\r\n\r\n", "\r\nAllow: GET, POST\r\n");
    ask(w, "garbage\r\n\r\n", "HTTP/1.1 400");
    ask(w, "POST /api/v1/load HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", "HTTP/1.1 413");
}

static void requests_are_answered(void **state)
{
    run(*state, talk);
}

/* Some leave in mid-request or before the answer, some drip; those who behave are served all the same. */
static void misbehave(struct world *w)
{
    static const char request[] = "POST /api/v1/tenants HTTP/1.1\r\nContent-Length: 3\r\n\r\n\"a\"";
    for (size_t i = 0; i < CONTROL_VISITS - 8; i++) {
        int fd = dial(w);
        (void)!write(fd, request, 1 + i * 2);
        close(fd);
    }
    int slow = dial(w);
    for (size_t i = 0; i + 1 < sizeof request; i++)
        (void)!write(slow, request + i, 1);
    ask(w, "GET /api/v1/status HTTP/1.1\r\n\r\n", "HTTP/1.1 200");
    char reply[4096];
    read_all(slow, reply, sizeof reply);
    if (strncmp(reply, "HTTP/1.1 4", 10) != 0)
        (void)snprintf(w->failure, sizeof w->failure, "dripping: '%.100s'", reply);
    close(slow);
}

static void bad_clients_harm_nobody(void **state)
{
    run(*state, misbehave);
}

static void crowd(struct world *w)
{
    int fds[CONTROL_VISITS];
    char reply[512];
    for (size_t i = 0; i < CONTROL_VISITS; i++)
        fds[i] = dial(w);
    int late = dial(w);
    read_all(late, reply, sizeof reply);
    if (strncmp(reply, "HTTP/1.1 503 ", 13) != 0 || strstr(reply, "32 others are being served") == NULL)
        (void)snprintf(w->failure, sizeof w->failure, "one too many: '%.200s'", reply);
    if (recv(fds[0], reply, 1, MSG_DONTWAIT) != -1 || errno != EAGAIN) /* it was the limit, not the clock */
        (void)snprintf(w->failure, sizeof w->failure, "the first was closed before the last");
    reply[0] = '\0';
    close(late);
    for (size_t i = 0; i < CONTROL_VISITS; i++)
        close(fds[i]);
    struct pollfd wait = {.fd = -1};
    for (int tries = 0; tries < 600; tries++) { /* until the hub has seen them go */
        int fd = dial(w);
        (void)!write(fd, "GET / HTTP/1.1\r\n\r\n", 18);
        read_all(fd, reply, sizeof reply);
        close(fd);
        if (strncmp(reply, "HTTP/1.1 404 ", 13) == 0)
            return;
        (void)poll(&wait, 0, 100);
    }
    (void)snprintf(w->failure, sizeof w->failure, "nobody is served after a crowd");
}

static void visits_are_bounded(void **state)
{
    run(*state, crowd);
}

static void one_hub_owns_the_socket(void **state)
{
    struct world *w = *state;
    struct control *second = NULL;
    struct err err = {0};
    struct control_options options = {.path = w->socket, .account_path = w->account};
    open_control(w, status_json);
    assert_int_equal(control_open(&second, &w->loop, &options, &err), ERR_BUSY);
    control_close(&w->control);
    assert_int_equal(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(access(w->socket, F_OK), -1);
}

static void a_dead_socket_is_replaced(void **state)
{
    struct world *w = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", w->socket);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    close(fd); /* the file stays, as after kill -9 */
    run(w, talk);
}

static void long_paths_are_refused(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    char path[200];
    struct control *control = NULL;
    memset(path, 'a', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    struct control_options options = {.path = path, .account_path = w->account};
    assert_int_equal(control_open(&control, &w->loop, &options, &err), ERR_CONFIG);
    assert_non_null(strstr(err.detail, "control_socket"));
}

/* Those who wait for a worker when the hub stops are not waited for. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int begun;
    bool closing;
} held = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false};

static int status_when_closing(void *arg, struct buf *json)
{
    (void)pthread_mutex_lock(&held.lock);
    held.begun++;
    (void)pthread_cond_broadcast(&held.changed);
    while (!held.closing)
        (void)pthread_cond_wait(&held.changed, &held.lock);
    (void)pthread_mutex_unlock(&held.lock);
    return status_json(arg, json);
}

static void queue_up(struct world *w)
{
    static const char request[] = "GET /api/v1/status HTTP/1.1\r\n\r\n";
    for (int i = 0; i < CONTROL_VISITS - 2; i++) {
        int fd = dial(w); /* left open: the test's end closes it */
        (void)!write(fd, request, sizeof request - 1);
    }
    for (int i = 0; i < 2; i++) /* answered by the loop itself, behind those before them */
        ask(w, "garbage\r\n\r\n", "HTTP/1.1 400");
    (void)pthread_mutex_lock(&held.lock);
    while (held.begun == 0)
        (void)pthread_cond_wait(&held.changed, &held.lock);
    (void)pthread_mutex_unlock(&held.lock);
}

static void on_queued(uv_async_t *done)
{
    on_done(done);
    (void)pthread_mutex_lock(&held.lock);
    held.closing = true;
    (void)pthread_cond_broadcast(&held.changed);
    (void)pthread_mutex_unlock(&held.lock);
}

static void a_stop_waits_for_no_queue(void **state)
{
    struct world *w = *state;
    open_control(w, status_when_closing);
    run_open(w, queue_up, on_queued);
    if (held.begun >= CONTROL_VISITS / 2)
        fail_msg("%d were begun", held.begun);
}

/* A store with so much in it that a question takes a while. */
static struct store *open_store(const char *dir)
{
    struct store *store = NULL;
    struct fixture fixture;
    struct err err = {0};
    struct store_options options = {
        .engine = "duckdb", .dir = dir, .memory_bytes = 512 << 20, .query_threads = 2};
    if (store_open(&store, &options, &err) != 0)
        fail_msg("%s", err_detail(&err));
    fixture_init(&fixture, 8, 40000);
    for (uint32_t round = 0; round < 4; round++)
        assert_int_equal(store_append(store, fixture.events, fixture.count, &err), 0);
    assert_int_equal(store_commit(store, (struct store_cursor){{1, 1}, 0}, &err), 0);
    fixture_fini(&fixture);
    return store;
}

enum { TRIES = 10 }; /* a machine under load may look too late */

static struct store *asked_store;

static uint64_t query_errors(void)
{
    struct store_stats stats;
    store_get_stats(asked_store, &stats);
    return stats.query_errors;
}

/* False: they were not seen. */
static bool wait_for_questions(uint64_t running)
{
    struct store_stats stats;
    struct pollfd wait = {.fd = -1};
    for (int ms = 0; ms < 2000; ms++) {
        store_get_stats(asked_store, &stats);
        if (stats.queries_running == running)
            return true;
        (void)poll(&wait, 0, 1);
    }
    return false;
}

static int ask_slowly(struct world *w)
{
    static const char question[] =
        "{\"measures\":[\"messages\",\"bytes\",\"clients\",\"requests\"],\"by\":[\"recipient_domain\","
        "\"stage\",\"sender\"],\"interval\":\"1h\",\"from\":\"2026-02-28T00:00:00Z\","
        "\"to\":\"2026-03-10T00:00:00Z\",\"limit\":1}";
    char request[1024];
    int fd = dial(w);
    (void)snprintf(request, sizeof request, "POST /api/v1/query HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s",
                   sizeof question - 1, question);
    (void)!write(fd, request, strlen(request));
    return fd;
}

/* Two ask at once, one goes away while both run: does its question end without an answer? The other must be
 * answered. */
static bool one_is_cancelled(struct world *w)
{
    char reply[65536];
    uint64_t before = query_errors();
    int stays = ask_slowly(w), leaves = ask_slowly(w);
    (void)wait_for_questions(2);
    close(leaves);
    read_all(stays, reply, sizeof reply);
    close(stays);
    if (strncmp(reply, "HTTP/1.1 200 ", 13) != 0)
        (void)snprintf(w->failure, sizeof w->failure, "the other: '%.200s'", reply);
    if (!wait_for_questions(0))
        (void)snprintf(w->failure, sizeof w->failure, "the question doesn't end");
    return query_errors() == before + 1;
}

static void go_away(struct world *w)
{
    int tries = 0;
    while (!one_is_cancelled(w))
        if (++tries == TRIES) {
            (void)snprintf(w->failure, sizeof w->failure, "each question ran to its end");
            break;
        }
    for (int i = 0; i < 8; i++) /* more than run at once: some run when the hub stops */
        (void)ask_slowly(w);
    (void)wait_for_questions(2);
}

static void who_goes_away_cancels_the_own_question(void **state)
{
    struct world *w = *state;
    char *dir = fixture_directory(), path[512];
    assert_non_null(dir);
    (void)snprintf(path, sizeof path, "%s/store", dir);
    asked_store = open_store(path);
    open_control(w, status_json);
    control_set_store(w->control, asked_store);
    run_open(w, go_away, on_done);
    assert_true(query_errors() >= 2); /* the stop cancels too */
    store_close(&asked_store);
    fixture_remove(dir);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(requests_are_answered),
        CASE(bad_clients_harm_nobody),
        CASE(visits_are_bounded),
        CASE(one_hub_owns_the_socket),
        CASE(a_dead_socket_is_replaced),
        CASE(long_paths_are_refused),
        CASE(who_goes_away_cancels_the_own_question),
        CASE(a_stop_waits_for_no_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
