/* SPDX-License-Identifier: Apache-2.0
 *
 * link: see link.h.
 */
#include "link.h"

#include <errno.h>
#include <zmq.h>

enum { HIGH_WATER = 256 /* above any window */ };

void link_init(struct link *link)
{
    link->socket = link->monitor = NULL;
    buf_init(&link->out, FRAME_BYTES);
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

void link_close(struct link *link, int linger_ms)
{
    if (link->socket == NULL)
        return;
    curve_monitor_close(&link->monitor, link->socket);
    (void)zmq_setsockopt(link->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    (void)zmq_close(link->socket);
    link->socket = NULL;
}

enum curve_event link_event(struct link *link)
{
    enum curve_event event;
    while ((event = curve_monitor_next(link->monitor)) == CURVE_CONNECTED)
        link->connected = true;
    return event;
}

int link_send(struct link *link, const struct frame *frame)
{
    buf_clear(&link->out);
    int rc = frame_encode(frame, &link->out);
    if (rc != 0)
        return rc;
    return zmq_send(link->socket, link->out.p, link->out.n, ZMQ_DONTWAIT) >= 0 ? 0 : ERR_BUSY;
}

int link_receive(struct link *link)
{
    zmq_msg_t part;
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
