/* SPDX-License-Identifier: Apache-2.0
 *
 * link: see link.h.
 */
#include "link.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>

enum { HIGH_WATER = 256 /* above any window */ };

static const char path[] = "/api/v1/ingest";

void link_init(struct link *link)
{
    link->socket = link->monitor = NULL;
    link->https = NULL;
    buf_init(&link->out, FRAME_BYTES + 1024);
    buf_init(&link->bytes, FRAME_BYTES);
}

void link_fini(struct link *link)
{
    link_close(link, 0);
    buf_fini(&link->out);
    buf_fini(&link->bytes);
}

int link_open(struct link *link, const struct curve_keys *keys, const char *server_key, const char *endpoint,
              struct err *err)
{
    link->connected = false;
    link->why[0] = '\0';
    link->retry_after_s = 0;
    int rc = curve_client(&link->socket, keys, server_key, endpoint, HIGH_WATER, err);
    if (rc != 0)
        return rc;
    rc = curve_monitor_open(&link->monitor, link->socket, err);
    if (rc == 0)
        rc = curve_connect(link->socket, endpoint, err);
    if (rc != 0)
        link_close(link, 0);
    return rc;
}

int link_open_https(struct link *link, const struct curve_keys *keys, const char *server_key,
                    const char *api_key, const struct https_options *options, const struct sockaddr *address,
                    socklen_t address_bytes, struct err *err)
{
    struct https_options own = *options;
    own.path = path;
    own.bearer = api_key;
    own.type = PARCEL_TYPE;
    link->connected = link->by_https.told = false;
    link->why[0] = '\0';
    link->retry_after_s = 0;
    link->by_https.frames = (struct slice){NULL, 0};
    link->by_https.api_key = slice_of(api_key);
    memcpy(link->by_https.public_key, keys->public_key, sizeof keys->public_key);
    randombytes_buf(link->by_https.name, sizeof link->by_https.name);
    if (parcel_share(&link->by_https.secret, keys->secret_key, server_key) != 0)
        return err_set(err, ERR_CONFIG, "server_key is no key");
    int rc = https_open(&link->https, &own, err);
    if (rc == 0)
        https_go_to(link->https, address, address_bytes);
    return rc;
}

/* What was posted last may still go out. */
static void linger(struct link *link, int linger_ms)
{
    struct reply reply;
    struct slice body;
    short events;
    int64_t until_us = clock_monotonic_us() + linger_ms * INT64_C(1000);
    int64_t now_us = clock_monotonic_us();
    while (now_us < until_us && https_step(link->https, now_us, &reply, &body, NULL) == ERR_MORE) {
        struct pollfd item = {.fd = https_poll(link->https, &events), .events = 0};
        item.events = events;
        (void)poll(&item, 1, (int)((until_us - now_us) / 1000) + 1);
        now_us = clock_monotonic_us();
    }
}

void link_close(struct link *link, int linger_ms)
{
    if (link->https != NULL) {
        linger(link, linger_ms);
        https_close(&link->https);
        sodium_memzero(&link->by_https.secret, sizeof link->by_https.secret);
    }
    if (link->socket == NULL)
        return;
    curve_monitor_close(&link->monitor, link->socket);
    (void)zmq_setsockopt(link->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    (void)zmq_close(link->socket);
    link->socket = NULL;
}

bool link_is_open(const struct link *link)
{
    return link->socket != NULL || link->https != NULL;
}

bool link_takes(const struct link *link)
{
    return link->https == NULL || (https_is_idle(link->https) && link->by_https.frames.n == 0);
}

int link_poll(const struct link *link, zmq_pollitem_t items[LINK_POLLS])
{
    short events = 0;
    if (link->socket != NULL) {
        items[0] = (zmq_pollitem_t){link->socket, 0, ZMQ_POLLIN, 0};
        items[1] = (zmq_pollitem_t){link->monitor, 0, ZMQ_POLLIN, 0};
        return 2;
    }
    int fd = link->https != NULL ? https_poll(link->https, &events) : -1;
    if (fd < 0)
        return 0;
    items[0] = (zmq_pollitem_t){NULL, fd, events == POLLOUT ? ZMQ_POLLOUT : ZMQ_POLLIN, 0};
    return 1;
}

/* ---- events ---------------------------------------------------------------------------------- */

static enum curve_event close_for(struct link *link, const char *why)
{
    (void)snprintf(link->why, sizeof link->why, "%s", why);
    return CURVE_CLOSED;
}

/* A status that is no answer of the intake. */
static const char *text_of(int status)
{
    return status == 401 || status == 407
               ? "the server wants another authorization than the API key: is it the hub?"
           : status == 403 ? "the hub can't read what this edge sends: is server_key the hub's?"
           : status == 404 || status == 405 ? "the server is no hub that takes frames: see https_server"
           : status == 429 || status == 503 ? "the hub is busy, or can't write its journal"
           : status == 502 || status == 504 ? "a proxy before the hub doesn't reach it"
                                            : "the server refuses what this edge sends";
}

static enum curve_event take_reply(struct link *link, const struct reply *reply, struct slice body)
{
    char why[LINK_WHY_BYTES];
    if (reply->status != 200) {
        link->retry_after_s = reply->retry_after_s;
        (void)snprintf(why, sizeof why, "%s [status %d]", text_of(reply->status), reply->status);
        return close_for(link, why);
    }
    struct slice frames;
    int rc = parcel_open_reply(body, &link->by_https.secret, link->by_https.proof, &frames);
    if (rc == ERR_DENIED)
        return close_for(link,
                         "the answer's proof does not hold: something between here and the hub changes it");
    if (rc != 0 || (frames.n == 0 && link->by_https.answers))
        return close_for(link, "the hub's answer can't be read");
    buf_clear(&link->bytes);
    if (buf_add_slice(&link->bytes, frames) != 0)
        return close_for(link, "no memory for an answer");
    link->by_https.frames = buf_slice(&link->bytes);
    return CURVE_NONE;
}

static enum curve_event https_event(struct link *link)
{
    struct reply reply;
    struct slice body;
    struct err err = {0};
    if (!link->by_https.told) {
        link->by_https.told = true;
        return CURVE_READY;
    }
    int rc = https_step(link->https, clock_monotonic_us(), &reply, &body, &err);
    if (rc == ERR_MORE || rc == ERR_END)
        return CURVE_NONE;
    return rc == 0 ? take_reply(link, &reply, body) : close_for(link, err_detail(&err));
}

enum curve_event link_event(struct link *link)
{
    enum curve_event event;
    if (link->https != NULL)
        return https_event(link);
    while ((event = curve_monitor_next(link->monitor)) == CURVE_CONNECTED)
        link->connected = true;
    return event;
}

/* ---- frames ---------------------------------------------------------------------------------- */

static int post(struct link *link, const struct frame *frame)
{
    if (!link_takes(link))
        return ERR_BUSY;
    int rc = parcel_begin(&link->out, link->by_https.public_key, link->by_https.name);
    if (rc == 0)
        rc = parcel_add(&link->out, frame);
    if (rc != 0)
        return rc;
    link->by_https.answers = frame->type != FRAME_BYE;
    parcel_seal(&link->out, &link->by_https.secret, link->by_https.api_key, link->by_https.proof);
    return https_post(link->https, buf_slice(&link->out), clock_monotonic_us());
}

int link_send(struct link *link, const struct frame *frame)
{
    if (link->https != NULL)
        return post(link, frame);
    buf_clear(&link->out);
    int rc = frame_encode(frame, &link->out);
    if (rc != 0)
        return rc;
    return zmq_send(link->socket, link->out.p, link->out.n, ZMQ_DONTWAIT) >= 0 ? 0 : ERR_BUSY;
}

static int next_of_reply(struct link *link)
{
    struct slice frame;
    if (!parcel_next(&link->by_https.frames, &frame))
        return ERR_END;
    return frame_decode(frame, &link->in) == 0 ? 0 : ERR_INVALID;
}

int link_receive(struct link *link)
{
    zmq_msg_t part;
    if (link->https != NULL)
        return next_of_reply(link);
    (void)zmq_msg_init(&part);
    buf_clear(&link->bytes);
    int rc = zmq_msg_recv(&part, link->socket, ZMQ_DONTWAIT) >= 0 ? 0 : ERR_END;
    if (rc == 0)
        rc = buf_add(&link->bytes, zmq_msg_data(&part), zmq_msg_size(&part));
    bool more = rc != ERR_END && zmq_msg_more(&part);
    while (rc != ERR_END && zmq_msg_more(&part) && zmq_msg_recv(&part, link->socket, 0) >= 0)
        ;
    (void)zmq_msg_close(&part);
    if (rc == ERR_END)
        return rc;
    return rc == 0 && !more && frame_decode(buf_slice(&link->bytes), &link->in) == 0 ? 0 : ERR_INVALID;
}
