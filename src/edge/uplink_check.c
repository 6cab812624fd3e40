/* SPDX-License-Identifier: Apache-2.0
 *
 * uplink_check: `policy-proxy check`: each way to the hub that is set up, each step told in one line. It
 * greets as a probe, so the running edge's session is left alone.
 */
#include "uplink_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum { STEP_MS = 5000, CLOCK_GOOD_US = 2 * 1000 * 1000 };

struct check {
    const struct uplink_options *options;
    void (*say)(void *arg, bool ok, const char *line);
    void *arg;
    struct err *err;
    const char *way;                      /* before a line */
    struct tunnel *tunnel;                /* NULL: none */
    char endpoint[UPLINK_ENDPOINT_BYTES]; /* that answered */
    struct link link;
    struct curve_keys keys;
};

static void good(struct check *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int bad(struct check *c, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void good(struct check *c, const char *fmt, ...)
{
    char line[ERR_DETAIL_BYTES];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    c->say(c->arg, true, line);
}

static int bad(struct check *c, int code, const char *fmt, ...)
{
    char line[ERR_DETAIL_BYTES];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    c->say(c->arg, false, line);
    return err_set(c->err, code, "%s", line);
}

/* ---- connection ------------------------------------------------------------------------------ */

/* 0 or an errno. */
static int try_address(const struct sockaddr *address, socklen_t bytes)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    int errnum = connect(fd, address, bytes) == 0 ? 0 : errno;
    if (errnum == EINPROGRESS) {
        struct pollfd item = {fd, POLLOUT, 0};
        socklen_t size = sizeof errnum;
        if (poll(&item, 1, STEP_MS) <= 0)
            errnum = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &size) != 0)
            errnum = errno;
    }
    (void)close(fd);
    return errnum;
}

/* The first address that answers is the one that the next steps use. */
static int check_connection(struct check *c)
{
    struct resolved found;
    struct err err = {0};
    int errnum = 0, rc = resolve_now(c->options->server, &found, &err);
    if (rc != 0)
        return bad(c, rc, "connection: %s", err_detail(&err));
    for (size_t i = 0; i < found.n; i++) {
        errnum = try_address((const struct sockaddr *)&found.to[i].address, found.to[i].address_bytes);
        if (errnum != 0)
            continue;
        memcpy(c->endpoint, found.to[i].endpoint, RESOLVED_BYTES);
        good(c, "connection: %s answers", c->options->server);
        return 0;
    }
    return bad(c, ERR_UNAVAILABLE,
               "connection: %s does not answer: start the hub, open the port in the firewall, or correct "
               "`server` [%s]",
               c->options->server, strerror(errnum));
}

/* ---- keys ------------------------------------------------------------------------------------ */

static int check_server_key(struct check *c)
{
    struct err err = {0};
    int rc = curve_key_check(c->options->server_key, &err);
    if (rc == 0)
        rc = curve_keys_load(&c->keys, c->options->key_file, &err);
    if (rc == 0)
        rc = link_open(&c->link, &c->keys, c->options->server_key, c->endpoint, &err);
    if (rc != 0)
        return bad(c, rc, "server key: %s", err_detail(&err));
    enum curve_event event = CURVE_NONE;
    zmq_pollitem_t item = {c->link.monitor, 0, ZMQ_POLLIN, 0};
    for (int64_t end = clock_monotonic_us() + STEP_MS * 1000; event == CURVE_NONE;) {
        int64_t left_us = end - clock_monotonic_us();
        if (left_us <= 0 || zmq_poll(&item, 1, (long)(left_us / 1000 + 1)) < 0)
            break;
        event = link_event(&c->link);
    }
    if (event != CURVE_READY)
        return bad(
            c, ERR_UNAUTHENTICATED,
            "server key: the handshake fails: set `server_key` to what `mail-analytics key` prints at the "
            "hub, and see that no other service answers there");
    good(c, "server key: the hub has it");
    return 0;
}

static int refused(struct check *c, const struct frame_refuse *refuse)
{
    bool later = refuse->code == REFUSAL_FULL || refuse->code == REFUSAL_BUSY;
    int code = later                                                            ? ERR_BUSY
               : refuse->code == REFUSAL_VERSION                                ? ERR_VERSION
               : refuse->code == REFUSAL_KEY || refuse->code == REFUSAL_REVOKED ? ERR_UNAUTHENTICATED
                                                                                : ERR_DENIED;
    return bad(c, code, "%sAPI key: refused with %s (%.*s): %s", c->way, frame_refusal_name(refuse->code),
               (int)refuse->reason.n, refuse->reason.p, frame_refusal_text(refuse->code));
}

static int say_probe(struct check *c, uint32_t greeting)
{
    struct frame *frame = calloc(1, sizeof *frame);
    if (frame == NULL)
        return ERR_NO_MEMORY;
    frame->type = FRAME_HELLO;
    frame->hello.greeting = greeting;
    frame->hello.flags = FRAME_HELLO_PROBE;
    frame->hello.api_key = slice_of(c->options->api_key);
    frame->hello.edge = slice_of(c->options->edge_id);
    frame->hello.software = SLICE("policy-proxy " VERSION);
    frame->hello.clock_us = clock_real_us();
    int rc = link_send(&c->link, frame);
    free(frame);
    return rc;
}

/* Polls what the link has until there is something. False: the time is over. */
static bool await_news(struct check *c, int64_t until_us)
{
    zmq_pollitem_t items[LINK_POLLS];
    int n = link_poll(&c->link, items);
    int64_t left_us = until_us - clock_monotonic_us();
    return left_us > 0 && zmq_poll(items, n, (long)(left_us / 1000 + 1)) >= 0;
}

/* The answer to the probe in link->in. ERR_TIMEOUT; ERR_UNAVAILABLE: closed, link->why. */
static int await_answer(struct check *c, uint32_t greeting)
{
    int64_t until_us = clock_monotonic_us() + STEP_MS * INT64_C(1000);
    do {
        enum curve_event event = link_event(&c->link);
        while (link_receive(&c->link) == 0) {
            const struct frame *in = &c->link.in;
            if ((in->type == FRAME_WELCOME && in->welcome.greeting == greeting) ||
                (in->type == FRAME_REFUSE && (in->refuse.greeting == greeting || in->refuse.greeting == 0)))
                return 0;
        }
        if (event == CURVE_CLOSED || event == CURVE_HANDSHAKE_FAILED)
            return ERR_UNAVAILABLE;
    } while (await_news(c, until_us));
    return ERR_TIMEOUT;
}

/* What the answer in link->in says; the clocks' offset. */
static int welcomed(struct check *c, int64_t asked_us, int64_t *offset_us)
{
    const struct frame *in = &c->link.in;
    if (in->type == FRAME_REFUSE)
        return refused(c, &in->refuse);
    int64_t round_trip_us = clock_monotonic_us() - asked_us;
    if (__builtin_sub_overflow(clock_real_us() - round_trip_us / 2, in->welcome.clock_us, offset_us))
        *offset_us = INT64_MAX;
    good(c, "%sAPI key: welcome as edge %s of tenant %u", c->way, c->options->edge_id, in->welcome.tenant);
    return 0;
}

static int check_api_key(struct check *c, int64_t *offset_us)
{
    enum { GREETING = 1 };
    int64_t asked_us = clock_monotonic_us();
    if (!batch_edge_valid(slice_of(c->options->edge_id)))
        return bad(c, ERR_CONFIG, "API key: edge_id '%s' may have 1 to 64 letters, digits, '.', '-', '_'",
                   c->options->edge_id);
    int rc = say_probe(c, GREETING);
    if (rc == 0)
        rc = await_answer(c, GREETING);
    if (rc != 0)
        return bad(c, ERR_TIMEOUT, "API key: the hub does not answer: see its log");
    return welcomed(c, asked_us, offset_us);
}

static int check_clock(struct check *c, int64_t offset_us)
{
    double seconds = (double)offset_us / 1e6;
    if (offset_us > CLOCK_GOOD_US || offset_us < -CLOCK_GOOD_US)
        return bad(c, ERR_CONFLICT,
                   "clock: %+.1f s against the hub's: run a time service (chrony, systemd-timesyncd) on both",
                   seconds);
    good(c, "clock: %+.3f s against the hub's", seconds);
    return 0;
}

static bool is_set(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* ---- the tunnel ------------------------------------------------------------------------------ */

static int await_tunnel(struct check *c)
{
    struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    int64_t until_us = clock_monotonic_us() + 2 * STEP_MS * INT64_C(1000);
    while (!tunnel_step(c->tunnel, clock_monotonic_us())) {
        if (clock_monotonic_us() >= until_us)
            return bad(c, ERR_UNAVAILABLE, "ssh: no tunnel through %s: %s", c->options->via_ssh,
                       tunnel_why(c->tunnel));
        (void)nanosleep(&pause, NULL);
    }
    good(c, "ssh: the tunnel through %s is up", c->options->via_ssh);
    return 0;
}

/* A tunnel of its own, beside that of a running proxy. */
static int check_tunnel(struct check *c)
{
    char public_key[TUNNEL_TEXT_BYTES];
    struct err err = {0};
    int rc = uplink_open_tunnel(&c->tunnel, c->options, "check", &err);
    if (rc == 0)
        rc = tunnel_make_key(c->tunnel, public_key, &err);
    if (rc != 0)
        return bad(c, rc, "ssh: %s", err_detail(&err));
    good(c, "ssh: this edge's key, for authorized_keys there: %s", public_key);
    rc = await_tunnel(c);
    if (rc == 0)
        (void)snprintf(c->endpoint, sizeof c->endpoint, "%s", tunnel_endpoint(c->tunnel));
    return rc;
}

static int check_zmq(struct check *c)
{
    int64_t offset_us = 0;
    c->way = "";
    int rc = is_set(c->options->via_ssh) ? check_tunnel(c) : check_connection(c);
    if (rc == 0)
        rc = check_server_key(c);
    if (rc == 0)
        rc = check_api_key(c, &offset_us);
    link_close(&c->link, 0);
    return rc == 0 ? check_clock(c, offset_us) : rc;
}

/* ---- HTTPS ----------------------------------------------------------------------------------- */

/* The server's key, when TLS stood. */
static void tell_key(struct check *c, const struct uplink *u)
{
    uint8_t pin[HTTPS_PIN_BYTES];
    char text[sodium_base64_ENCODED_LEN(HTTPS_PIN_BYTES, sodium_base64_VARIANT_ORIGINAL)];
    if (c->link.https == NULL || !https_seen_pin(c->link.https, pin))
        return;
    (void)sodium_bin2base64(text, sizeof text, pin, sizeof pin, sodium_base64_VARIANT_ORIGINAL);
    if (!u->https.pinned)
        good(c, "https: the server's certificate is of https_ca; its key is sha256//%s", text);
    else if (memcmp(pin, u->https.pin, sizeof pin) == 0)
        good(c, "https: the server has the pinned key");
    else
        (void)bad(c, ERR_DENIED,
                  "https: the server has the key sha256//%s, which is not https_pin: is it the hub?", text);
}

/* One address. ERR_UNAVAILABLE with link->why when it isn't the hub, or not reached. */
static int greet_by_https(struct check *c, const struct uplink *u, const struct resolved *found, size_t i,
                          int64_t *offset_us)
{
    enum { GREETING = 2 };
    struct err err = {0};
    int64_t asked_us = clock_monotonic_us();
    int rc =
        link_open_https(&c->link, &c->keys, c->options->server_key, c->options->api_key, &u->https,
                        (const struct sockaddr *)&found->to[i].address, found->to[i].address_bytes, &err);
    if (rc != 0) {
        (void)snprintf(c->link.why, sizeof c->link.why, "%.150s", err_detail(&err));
        return rc;
    }
    (void)link_event(&c->link); /* that it may be greeted */
    rc = say_probe(c, GREETING);
    if (rc == 0)
        rc = await_answer(c, GREETING);
    if (rc == ERR_TIMEOUT)
        (void)snprintf(c->link.why, sizeof c->link.why, "nothing answers in time");
    tell_key(c, u);
    return rc == 0 ? welcomed(c, asked_us, offset_us) : rc;
}

static int try_https(struct check *c, const struct uplink *u)
{
    struct resolved found;
    struct err err = {0};
    int64_t offset_us = 0;
    int rc = curve_keys_load(&c->keys, c->options->key_file, &err);
    if (rc == 0)
        rc = resolve_now(u->https_to, &found, &err);
    if (rc != 0)
        return bad(c, rc, "https: %s", err_detail(&err));
    for (size_t i = 0; i < found.n; i++) {
        rc = greet_by_https(c, u, &found, i, &offset_us);
        link_close(&c->link, 0);
        if (rc == 0)
            return check_clock(c, offset_us);
        if (c->link.why[0] == '\0')
            return rc; /* the hub refused, and was told */
    }
    return bad(c, ERR_UNAVAILABLE, "https: %s: %s", c->options->https_server, c->link.why);
}

static int check_https(struct check *c)
{
    struct uplink *u = calloc(1, sizeof *u);
    struct err err = {0};
    struct uplink_options options = *c->options;
    if (u == NULL)
        return err_set(c->err, ERR_NO_MEMORY, "no memory for the check");
    c->way = "https: ";
    options.transport = UPLINK_HTTPS;
    int rc = uplink_take_options(u, &options, &err);
    rc = rc == 0 ? try_https(c, u) : bad(c, rc, "https: %s", err_detail(&err));
    sodium_memzero(u, sizeof *u);
    free(u);
    return rc;
}

static bool https_is_set_up(const struct uplink_options *options)
{
    return options->transport != UPLINK_ZMQ || is_set(options->https_pin) || is_set(options->https_ca);
}

int uplink_check(const struct uplink_options *options, void (*say)(void *arg, bool ok, const char *line),
                 void *arg, struct err *err)
{
    struct err later = {0};
    struct check *c = calloc(1, sizeof *c);
    if (c == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the check");
    *c = (struct check){.options = options, .say = say, .arg = arg, .err = err};
    link_init(&c->link);
    int by_zmq = options->transport != UPLINK_HTTPS ? check_zmq(c) : 0;
    c->err = by_zmq == 0 ? err : &later;
    int by_https = https_is_set_up(options) ? check_https(c) : 0;
    link_fini(&c->link);
    tunnel_close(&c->tunnel);
    free(c);
    if (options->transport == UPLINK_AUTO && (by_zmq == 0 || by_https == 0))
        return 0; /* either is enough */
    return by_zmq != 0 ? by_zmq : by_https;
}
