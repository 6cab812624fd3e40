/* SPDX-License-Identifier: Apache-2.0
 *
 * client: see client.h. Replies end with the connection (HTTP/1.1, Connection: close).
 */
#include "client.h"

#include "api/api.h"
#include "base/clock.h"
#include "hub/paths.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CLIENT_SLACK_US = 30 * 1000000 };

static int append_encoded(char *out, size_t size, const char *value)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t n = strlen(out);
    for (; *value != '\0'; value++) {
        if (n + 4 >= size)
            return ERR_LIMIT;
        if (strchr(plain, *value) != NULL)
            out[n++] = *value;
        else
            n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned char)*value);
    }
    out[n] = '\0';
    return 0;
}

int client_segment(char path[CLIENT_PATH_BYTES], const char *value)
{
    return append_encoded(path, CLIENT_PATH_BYTES, value);
}

int client_parameter(char path[CLIENT_PATH_BYTES], const char *name, const char *value)
{
    size_t n = strlen(path);
    if (value == NULL)
        return 0;
    int more =
        snprintf(path + n, CLIENT_PATH_BYTES - n, "%c%s=", strchr(path, '?') != NULL ? '&' : '?', name);
    if (more < 0 || (size_t)more >= CLIENT_PATH_BYTES - n)
        return ERR_LIMIT;
    return append_encoded(path, CLIENT_PATH_BYTES, value);
}

int client_connect(struct cli *cli, int *fd)
{
    struct hub_paths paths;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int rc = paths_of(cli->settings, &paths, &cli->err);
    if (rc != 0)
        return rc;
    if (slice_to_string(slice_of(paths.control), address.sun_path, sizeof address.sun_path) != 0)
        return cli_fail(cli, ERR_CONFIG, "control socket %s: the path is too long for a socket",
                        paths.control);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return err_errno(&cli->err, errno, "no socket");
    if (connect(*fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return 0;
    int errnum = errno;
    close(*fd);
    *fd = -1;
    if (errnum == ENOENT || errnum == ECONNREFUSED || errnum == ENOTDIR)
        return cli_fail(cli, ERR_UNAVAILABLE, "no hub is running at %s: start it with `mail-analytics serve`",
                        paths.control);
    if (errnum == EACCES)
        return cli_fail(
            cli, ERR_DENIED,
            "control socket %s isn't open to this user: become root or the hub's user, or join its group",
            paths.control);
    return err_errno(&cli->err, errnum, "control socket %s can't be reached", paths.control);
}

/* Waits for the socket until the deadline. */
static int await(struct cli *cli, int fd, short events, int64_t deadline_us)
{
    struct pollfd wanted = {.fd = fd, .events = events};
    for (;;) {
        int64_t left_ms = (deadline_us - clock_monotonic_us()) / 1000;
        if (left_ms <= 0)
            return cli_fail(cli, ERR_TIMEOUT, "the hub doesn't answer");
        int n = poll(&wanted, 1, left_ms > 1000 ? 1000 : (int)left_ms);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return err_errno(&cli->err, errno, "waiting for the hub");
    }
}

static int send_all(struct cli *cli, int fd, struct slice bytes, int64_t deadline_us)
{
    while (bytes.n > 0) {
        int rc = await(cli, fd, POLLOUT, deadline_us);
        if (rc != 0)
            return rc;
        ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            return 0; /* it has answered already: the reply says why */
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return err_errno(&cli->err, errno, "writing to the hub");
        if (n > 0)
            bytes = (struct slice){bytes.p + n, bytes.n - (size_t)n};
    }
    return 0;
}

static int receive_all(struct cli *cli, int fd, struct buf *out, int64_t deadline_us)
{
    for (;;) {
        int rc = await(cli, fd, POLLIN, deadline_us);
        if (rc == 0 && buf_reserve(out, 65536) != 0)
            rc = cli_fail(cli, ERR_LIMIT, "the hub's answer is too long");
        if (rc != 0)
            return rc;
        ssize_t n = recv(fd, out->p + out->n, 65536, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            return 0;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return err_errno(&cli->err, errno, "reading from the hub");
        if (n > 0)
            out->n += (size_t)n;
    }
}

/* Cuts the head off: *status, the body in place, and the head itself to *head (may be NULL). */
static int split_reply(struct cli *cli, struct buf *reply, int *status, struct buf *head)
{
    uint64_t number, length = 0;
    struct slice all = buf_slice(reply), line, word;
    const char *end = all.p != NULL ? memmem(all.p, all.n, "\r\n\r\n", 4) : NULL;
    const char *sized = end != NULL ? memmem(all.p, (size_t)(end - all.p), "Content-Length: ", 16) : NULL;
    bool good = sized != NULL && slice_split(&all, ' ', &word) && slice_split(&all, ' ', &word) &&
                text_to_u64(word, 999, &number) == 0;
    if (good) {
        struct slice rest = {sized + 16, (size_t)(end + 2 - sized) - 16};
        good = slice_split(&rest, '\r', &line) && text_to_u64(line, CLIENT_REPLY_BYTES, &length) == 0;
    }
    if (good && head != NULL && buf_add(head, reply->p, (size_t)(end - reply->p) + 2) != 0)
        return cli_fail(cli, ERR_LIMIT, "the head of the hub's answer is too long");
    if (good)
        buf_consume(reply, (size_t)(end - reply->p) + 4);
    if (!good || reply->n != length)
        return cli_fail(cli, ERR_UNAVAILABLE, "the hub closed the connection before its answer was whole");
    *status = (int)number;
    return 0;
}

static int ask_hub(struct cli *cli, int fd, const char *method, const char *path, struct slice body,
                   int *status, struct buf *reply_head, struct buf *reply)
{
    struct buf head = {.limit = 4096 + CLIENT_PATH_BYTES};
    int64_t deadline_us =
        clock_monotonic_us() + cli->settings->query_timeout + CLIENT_SLACK_US + cli->patience_us;
    int rc = buf_addf(&head, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n", method, path,
                      body.n);
    if (rc == 0)
        rc = send_all(cli, fd, buf_slice(&head), deadline_us);
    if (rc == 0)
        rc = send_all(cli, fd, body, deadline_us);
    if (rc == 0)
        rc = receive_all(cli, fd, reply, deadline_us);
    if (rc == 0)
        rc = split_reply(cli, reply, status, reply_head);
    buf_fini(&head);
    return rc;
}

/* Where no hub ever ran nothing was heard; else nobody can say of whom. */
static bool heard_here(void *arg, uint32_t tenant)
{
    const struct hub_paths *paths = arg;
    (void)tenant;
    return access(paths->journal, F_OK) == 0;
}

static int ask_here(struct cli *cli, const char *method, const char *path, struct slice body, int *status,
                    struct buf *head, struct buf *reply)
{
    struct hub_paths paths;
    struct api_context context = {.heard = heard_here, .arg = &paths};
    struct api_reply answer;
    struct err why = {0};
    char name[32];
    int rc = paths_of(cli->settings, &paths, &cli->err);
    if (rc == 0)
        rc = paths_make(&paths, false, &why);
    if (rc == 0)
        rc = account_open(&context.account, paths.account, &why);
    if (rc != 0)
        return cli_fail(
            cli, rc,
            "no hub is running, and without one its data is needed: %s (become root or the hub's user, "
            "or start the hub with `mail-analytics serve`)",
            err_detail(&why));
    (void)snprintf(name, sizeof name, "uid %u, offline", (unsigned)getuid());
    struct api_request request = {
        .caller = {.operator_ = true, .scopes = SCOPE_INGEST | SCOPE_READ | SCOPE_MANAGE, .name = name},
        .method = slice_of(method),
        .path = slice_of(path),
        .body = body,
        .if_match = SLICE("*"),
    };
    api_reply_init(&answer, reply->limit);
    api_handle(&context, &request, &answer);
    *status = answer.status;
    *reply = answer.body;
    answer.body = (struct buf){0};
    if (head != NULL)
        rc = buf_add_slice(head, buf_slice(&answer.fields));
    api_reply_fini(&answer);
    account_close(&context.account);
    return rc;
}

static int understand(struct cli *cli, int status, const struct buf *reply, json_t **out, long *index)
{
    json_error_t error;
    *out = json_loadb(reply->p != NULL ? reply->p : "", reply->n, 0, &error);
    if (*out == NULL)
        return cli_fail(cli, ERR_IO, "the hub's answer is not JSON (status %d)", status);
    if (status < 400)
        return 0;
    const char *code = json_string_value(json_object_get(*out, "code"));
    const char *detail = json_string_value(json_object_get(*out, "detail"));
    const json_t *at = json_object_get(*out, "index");
    if (index != NULL && at != NULL)
        *index = (long)json_integer_value(at);
    if (detail != NULL && strncmp(detail, "$: ", 3) == 0)
        detail += 3; /* the whole of what was sent: no place that a person knows */
    int known = code != NULL ? err_find(code, strlen(code)) : 0;
    int rc = cli_fail(cli, known != 0 ? known : ERR_IO, "%s",
                      detail != NULL ? detail : "the hub refused without a reason");
    json_decref(*out);
    *out = NULL;
    return rc;
}

int client_fetch(struct cli *cli, const char *path, struct buf *body)
{
    return client_fetch_whole(cli, path, NULL, body);
}

int client_fetch_whole(struct cli *cli, const char *path, struct buf *head, struct buf *body)
{
    int fd = -1, status = 0;
    json_t *problem = NULL;
    int rc = client_connect(cli, &fd);
    if (rc == 0)
        rc = ask_hub(cli, fd, "GET", path, (struct slice){NULL, 0}, &status, head, body);
    if (rc == 0 && status >= 400)
        rc = understand(cli, status, body, &problem, NULL);
    json_decref(problem);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int ask(struct cli *cli, const char *method, const char *path, struct slice body, struct buf *head,
               json_t **out, long *index)
{
    int fd = -1, status = 0;
    struct buf reply = {.limit = CLIENT_REPLY_BYTES};
    *out = NULL;
    if (index != NULL)
        *index = -1;
    if (body.n > API_BODY_BYTES)
        return cli_fail(cli, ERR_LIMIT, "this is more than %d MiB at once: split it", API_BODY_BYTES >> 20);
    int rc = client_connect(cli, &fd);
    if (rc == 0)
        rc = ask_hub(cli, fd, method, path, body, &status, head, &reply);
    else if (rc == ERR_UNAVAILABLE)
        rc = ask_here(cli, method, path, body, &status, head, &reply);
    if (rc == 0)
        rc = understand(cli, status, &reply, out, index);
    if (fd >= 0)
        close(fd);
    buf_fini(&reply);
    return rc;
}

int client_ask(struct cli *cli, const char *method, const char *path, struct slice body, json_t **out,
               long *index)
{
    return ask(cli, method, path, body, NULL, out, index);
}

/* The reply's Reclassify: tenants, with `*` for more of them. */
static void tell_kept_labels(struct slice head)
{
    static const char name[] = "\r\nReclassify: ";
    const char *at = head.p != NULL ? memmem(head.p, head.n, name, sizeof name - 1) : NULL;
    if (at == NULL)
        return;
    at += sizeof name - 1;
    struct slice rest = {at, (size_t)(head.p + head.n - at)}, line, tenant;
    if (!slice_split(&rest, '\r', &line))
        return;
    while (slice_split(&line, ',', &tenant)) {
        tenant = slice_trim(tenant);
        if (slice_equal(tenant, SLICE("*")))
            (void)fprintf(stderr, "so it may be with more tenants of this change\n");
        else
            (void)fprintf(stderr,
                          "what was heard before keeps its labels: `mail-analytics reclassify --tenant %.*s` "
                          "re-labels it\n",
                          (int)tenant.n, tenant.p);
    }
}

int client_change(struct cli *cli, const char *method, const char *path, struct slice body, json_t **out,
                  long *index)
{
    struct buf head = {.limit = CLIENT_HEAD_BYTES};
    int rc = buf_add(&head, "\r\n", 2); /* before the first field, too */
    if (rc == 0)
        rc = ask(cli, method, path, body, &head, out, index);
    if (rc == 0)
        tell_kept_labels(buf_slice(&head));
    buf_fini(&head);
    return rc;
}
