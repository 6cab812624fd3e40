/* SPDX-License-Identifier: Apache-2.0
 *
 * rig: see rig.h.
 */
#include "rig.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void on_stop(uv_async_t *stop)
{
    struct rig *rig = stop->data;
    uv_close((uv_handle_t *)stop, NULL);
    http_close(&rig->http);
}

static void *run(void *arg)
{
    struct rig *rig = arg;
    (void)uv_run(&rig->loop, UV_RUN_DEFAULT);
    return NULL;
}

void rig_open(struct rig *rig, const struct http_route *routes, size_t route_count, void *arg,
              uint64_t reply_ms, uint64_t ping_ms)
{
    struct err err = {0};
    (void)signal(SIGPIPE, SIG_IGN); /* as the hub does */
    *rig = (struct rig){.dir = "/tmp/http-XXXXXX"};
    assert_non_null(mkdtemp(rig->dir));
    (void)snprintf(rig->address, sizeof rig->address, "unix:%s/http", rig->dir);
    struct http_options options = {.listen = rig->address,
                                   .routes = routes,
                                   .route_count = route_count,
                                   .arg = arg,
                                   .counters = &rig->counters,
                                   .max_connections = 20,
                                   .max_per_address = 20,
                                   .workers = 2,
                                   .streams = RIG_STREAMS,
                                   .idle_ms = RIG_PATIENCE_MS,
                                   .head_ms = RIG_PATIENCE_MS,
                                   .body_ms = RIG_PATIENCE_MS,
                                   .request_ms = RIG_PATIENCE_MS,
                                   .reply_ms = reply_ms,
                                   .ping_ms = ping_ms};
    assert_int_equal(uv_loop_init(&rig->loop), 0);
    assert_int_equal(uv_async_init(&rig->loop, &rig->stop, on_stop), 0);
    rig->stop.data = rig;
    if (http_open(&rig->http, &rig->loop, &options, &err) != 0)
        fail_msg("%s", err_detail(&err));
    assert_int_equal(pthread_create(&rig->thread, NULL, run, rig), 0);
}

void rig_close(struct rig *rig)
{
    assert_int_equal(uv_async_send(&rig->stop), 0);
    assert_int_equal(pthread_join(rig->thread, NULL), 0);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
    assert_int_equal(rmdir(rig->dir), 0);
}

int rig_ask(const struct rig *rig, const char *request)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = RIG_PATIENCE_MS / 1000};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", rig->address + strlen("unix:"));
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(write(fd, request, strlen(request)), (int)strlen(request));
    return fd;
}

bool rig_read(int fd, const char *end, char *text, size_t size)
{
    size_t n = 0;
    ssize_t got = 1;
    text[0] = '\0';
    while (got > 0 && n + 1 < size && (end == NULL || strstr(text, end) == NULL)) {
        got = read(fd, text + n, size - 1 - n);
        n += got > 0 ? (size_t)got : 0;
        text[n] = '\0';
    }
    return got >= 0;
}

void rig_wait(const atomic_int *number, int wanted)
{
    for (int ms = 0; ms < RIG_PATIENCE_MS && *number != wanted; ms++)
        (void)poll(NULL, 0, 1);
    assert_int_equal(*number, wanted);
}
