/* SPDX-License-Identifier: Apache-2.0
 *
 * curve: see curve.h. The numbers that a socket gets are all in the two tables below.
 */
#include "curve.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <zmq.h>

enum {
    MAX_MESSAGE_BYTES = 1024 * 1024 + 1024, /* FRAME_BYTES */
    BACKLOG = 1024,                         /* a storm of silent connections must not push others out */
};

/* ZMQ_ZAP_ENFORCE_DOMAIN: the library has had it since 4.3, its header shows it to draft builds only. */
enum { ZAP_ENFORCE_DOMAIN = 93 };

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"
#define ZAP_DOMAIN   "wire"

static void *context;

static void context_create(void)
{
    context = zmq_ctx_new();
}

void *curve_context(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, context_create);
    return context;
}

/* ---- sockets --------------------------------------------------------------------------------- */

struct option {
    int name, value;
};

static int set_options(void *socket, const struct option *options, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (zmq_setsockopt(socket, options[i].name, &options[i].value, sizeof options[i].value) != 0)
            return ERR_INVALID;
    return 0;
}

static int set_text(void *socket, int option, const char *text)
{
    return zmq_setsockopt(socket, option, text, strlen(text)) == 0 ? 0 : ERR_INVALID;
}

static int open_socket(void **out, int type, int high_water, struct err *err)
{
    const struct option options[] = {
        {ZMQ_LINGER, 0},
        {ZMQ_SNDHWM, high_water},
        {ZMQ_RCVHWM, high_water},
        {ZMQ_HANDSHAKE_IVL, CURVE_HANDSHAKE_MS},
        {ZMQ_HEARTBEAT_IVL, CURVE_HEARTBEAT_MS},
        {ZMQ_HEARTBEAT_TIMEOUT, CURVE_HEARTBEAT_TIMEOUT_MS},
        {ZMQ_HEARTBEAT_TTL, CURVE_HEARTBEAT_TIMEOUT_MS},
    };
    int64_t max_message_bytes = MAX_MESSAGE_BYTES;
    void *socket = zmq_socket(curve_context(), type);
    if (socket == NULL)
        return err_set(err, ERR_NO_MEMORY, "zeromq socket cannot be made: %s", zmq_strerror(errno));
    if (set_options(socket, options, sizeof options / sizeof *options) != 0 ||
        zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max_message_bytes, sizeof max_message_bytes) != 0) {
        (void)zmq_close(socket);
        return err_set(err, ERR_UNSUPPORTED,
                       "this libzmq lacks an option that the wire needs (4.3 has them)");
    }
    *out = socket;
    return 0;
}

static int refuse_keys(void **socket, struct err *err)
{
    (void)zmq_close(*socket);
    *socket = NULL;
    return err_set(err, ERR_INVALID, "a CURVE key is not valid, or this libzmq has no CURVE");
}

int curve_server(void **socket, const struct curve_keys *keys, int high_water, struct err *err)
{
    static const struct option options[] = {
        {ZMQ_CURVE_SERVER, 1}, {ZMQ_ROUTER_MANDATORY, 1}, {ZAP_ENFORCE_DOMAIN, 1},
        {ZMQ_IPV6, 1},         {ZMQ_BACKLOG, BACKLOG},
    };
    int rc = open_socket(socket, ZMQ_ROUTER, high_water, err);
    if (rc != 0)
        return rc;
    if (set_options(*socket, options, sizeof options / sizeof *options) != 0 ||
        set_text(*socket, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN) != 0 ||
        set_text(*socket, ZMQ_CURVE_SECRETKEY, keys->secret_key) != 0)
        return refuse_keys(socket, err);
    return 0;
}

int curve_endpoint_split(const char *endpoint, char host[CURVE_HOST_BYTES], char port[CURVE_PORT_BYTES],
                         struct err *err)
{
    const char *colon = strrchr(endpoint, ':');
    uint64_t number;
    if (strncmp(endpoint, "tcp://", 6) == 0 && colon > endpoint + 6) {
        struct slice name = {endpoint + 6, (size_t)(colon - endpoint - 6)};
        if (name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
            name = (struct slice){name.p + 1, name.n - 2};
        if (slice_to_string(name, host, CURVE_HOST_BYTES) == 0 &&
            slice_to_string(slice_of(colon + 1), port, CURVE_PORT_BYTES) == 0 &&
            text_to_u64(slice_of(port), 65535, &number) == 0)
            return 0;
    }
    return err_set(err, ERR_CONFIG, "server '%s' is no address: use tcp://HOST:PORT", endpoint);
}

int curve_client(void **socket, const struct curve_keys *keys, const char *server_key, const char *endpoint,
                 int high_water, struct err *err)
{
    const struct option options[] = {
        {ZMQ_RECONNECT_IVL, -1}, {ZMQ_CONNECT_TIMEOUT, 5000}, {ZMQ_IPV6, strchr(endpoint, '[') != NULL}};
    int rc = open_socket(socket, ZMQ_DEALER, high_water, err);
    if (rc != 0)
        return rc;
    if (set_options(*socket, options, sizeof options / sizeof *options) != 0 ||
        set_text(*socket, ZMQ_CURVE_SERVERKEY, server_key) != 0 ||
        set_text(*socket, ZMQ_CURVE_PUBLICKEY, keys->public_key) != 0 ||
        set_text(*socket, ZMQ_CURVE_SECRETKEY, keys->secret_key) != 0)
        return refuse_keys(socket, err);
    return 0;
}

int curve_bind(void *socket, const char *endpoint, struct err *err)
{
    if (zmq_bind(socket, endpoint) == 0)
        return 0;
    if (errno == EADDRINUSE)
        return err_set(err, ERR_BUSY,
                       "wire address %s is in use: stop the other program or choose another port", endpoint);
    if (errno == EACCES)
        return err_set(err, ERR_DENIED, "wire address %s: permission denied, choose a port above 1023",
                       endpoint);
    return err_set(err, ERR_CONFIG, "wire address %s cannot be bound: %s (use tcp://ADDRESS:PORT)", endpoint,
                   zmq_strerror(errno));
}

int curve_connect(void *socket, const char *endpoint, struct err *err)
{
    if (zmq_connect(socket, endpoint) == 0)
        return 0;
    return err_set(err, ERR_CONFIG, "server '%s' is no address: %s (use tcp://HOST:PORT)", endpoint,
                   zmq_strerror(errno));
}

/* ---- who may come in ------------------------------------------------------------------------- */

int curve_zap_open(void **zap, struct err *err)
{
    const struct option options[] = {{ZMQ_LINGER, 0}};
    *zap = zmq_socket(curve_context(), ZMQ_REP);
    if (*zap == NULL)
        return err_set(err, ERR_NO_MEMORY, "zeromq socket cannot be made: %s", zmq_strerror(errno));
    if (set_options(*zap, options, 1) == 0 && zmq_bind(*zap, ZAP_ENDPOINT) == 0)
        return 0;
    int rc = errno == EADDRINUSE ? ERR_BUSY : ERR_IO;
    (void)zmq_close(*zap);
    *zap = NULL;
    return err_set(err, rc, "the ZAP handler cannot be bound: %s", zmq_strerror(errno));
}

void curve_zap_close(void **zap)
{
    if (*zap == NULL)
        return;
    (void)zmq_unbind(*zap, ZAP_ENDPOINT);
    (void)zmq_close(*zap);
    *zap = NULL;
}

/* version, request id, domain, address, identity, mechanism, credentials (the CURVE public key) */
enum { ZAP_VERSION, ZAP_ID, ZAP_DOMAIN_NAME, ZAP_ADDRESS, ZAP_IDENTITY, ZAP_MECHANISM, ZAP_KEY, ZAP_PARTS };

struct zap_request {
    char part[ZAP_PARTS][256];
    int bytes[ZAP_PARTS];
    int parts;
};

static bool zap_receive(void *zap, struct zap_request *request)
{
    int more = 1;
    size_t size = sizeof more;
    char rest[1];
    for (request->parts = 0; more != 0; request->parts++) {
        bool keep = request->parts < ZAP_PARTS;
        int n =
            zmq_recv(zap, keep ? request->part[request->parts] : rest,
                     keep ? sizeof request->part[0] : sizeof rest, request->parts == 0 ? ZMQ_DONTWAIT : 0);
        if (n < 0)
            return false;
        if (keep)
            request->bytes[request->parts] = n;
        if (zmq_getsockopt(zap, ZMQ_RCVMORE, &more, &size) != 0)
            return false;
    }
    return true;
}

static bool zap_part_is(const struct zap_request *request, int part, const char *text)
{
    size_t n = strlen(text);
    return request->bytes[part] == (int)n && memcmp(request->part[part], text, n) == 0;
}

static bool zap_admits(const struct zap_request *request, bool (*admit)(void *arg, const struct ip *address),
                       void *arg)
{
    struct ip address;
    struct slice text = {request->part[ZAP_ADDRESS], (size_t)request->bytes[ZAP_ADDRESS]};
    return admit == NULL ||
           (text.n <= sizeof request->part[0] && ip_parse(text, &address) == 0 && admit(arg, &address));
}

bool curve_zap_answer(void *zap, bool (*admit)(void *arg, const struct ip *address), void *arg)
{
    struct zap_request request;
    if (!zap_receive(zap, &request))
        return false;
    char key[CURVE_Z85_BYTES] = "";
    bool good = request.parts == ZAP_PARTS && zap_part_is(&request, ZAP_VERSION, "1.0") &&
                zap_part_is(&request, ZAP_DOMAIN_NAME, ZAP_DOMAIN) &&
                zap_part_is(&request, ZAP_MECHANISM, "CURVE") && request.bytes[ZAP_KEY] == 32 &&
                zmq_z85_encode(key, (const uint8_t *)request.part[ZAP_KEY], 32) != NULL;
    bool admitted = good && zap_admits(&request, admit, arg);
    size_t id_bytes =
        request.parts > ZAP_ID && request.bytes[ZAP_ID] <= 255 ? (size_t)request.bytes[ZAP_ID] : 0;
    const struct slice answer[] = {
        SLICE("1.0"),
        {request.part[ZAP_ID], id_bytes},
        admitted ? SLICE("200") : SLICE("400"),
        admitted ? SLICE("OK")
        : good   ? SLICE("too many handshakes")
                 : SLICE("CURVE is required"),
        slice_of(admitted ? key : ""),
        SLICE(""), /* metadata */
    };
    size_t count = sizeof answer / sizeof *answer;
    for (size_t i = 0; i < count; i++)
        if (zmq_send(zap, answer[i].p, answer[i].n, i + 1 < count ? ZMQ_SNDMORE : 0) < 0)
            return false;
    return true;
}

int curve_peer(void *message, struct ip *address, char key[CURVE_Z85_BYTES])
{
    const char *text = zmq_msg_gets(message, "Peer-Address"), *user = zmq_msg_gets(message, "User-Id");
    if (text == NULL || user == NULL || strlen(user) != CURVE_Z85_BYTES - 1)
        return ERR_INVALID;
    memcpy(key, user, CURVE_Z85_BYTES);
    return ip_parse(slice_of(text), address);
}

/* ---- connection events ----------------------------------------------------------------------- */

int curve_monitor_open(void **monitor, void *socket, struct err *err)
{
    static atomic_uint number;
    char endpoint[64];
    (void)snprintf(endpoint, sizeof endpoint, "inproc://monitor-%u", atomic_fetch_add(&number, 1));
    const struct option options[] = {{ZMQ_LINGER, 0}};
    *monitor = zmq_socket(curve_context(), ZMQ_PAIR);
    if (*monitor != NULL && set_options(*monitor, options, 1) == 0 &&
        zmq_socket_monitor(socket, endpoint, ZMQ_EVENT_ALL) == 0 && zmq_connect(*monitor, endpoint) == 0)
        return 0;
    int errnum = errno;
    if (*monitor != NULL)
        (void)zmq_close(*monitor);
    *monitor = NULL;
    return err_set(err, ERR_NO_MEMORY, "zeromq socket cannot be watched: %s", zmq_strerror(errnum));
}

void curve_monitor_close(void **monitor, void *socket)
{
    if (*monitor == NULL)
        return;
    (void)zmq_socket_monitor(socket, NULL, 0);
    (void)zmq_close(*monitor);
    *monitor = NULL;
}

static enum curve_event event_of(uint16_t event)
{
    switch (event) {
    case ZMQ_EVENT_CONNECTED:
        return CURVE_CONNECTED;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        return CURVE_READY;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        return CURVE_HANDSHAKE_FAILED;
    case ZMQ_EVENT_CLOSED:
    case ZMQ_EVENT_DISCONNECTED:
        return CURVE_CLOSED;
    default:
        return CURVE_NONE;
    }
}

enum curve_event curve_monitor_next(void *monitor)
{
    unsigned char head[6]; /* u16 event, u32 value, in host order; then a part with the address */
    char address[1];
    for (;;) {
        if (zmq_recv(monitor, head, sizeof head, ZMQ_DONTWAIT) != (int)sizeof head)
            return CURVE_NONE;
        (void)zmq_recv(monitor, address, sizeof address, 0);
        uint16_t event;
        memcpy(&event, head, sizeof event);
        enum curve_event known = event_of(event);
        if (known != CURVE_NONE)
            return known;
    }
}
