/* SPDX-License-Identifier: Apache-2.0
 *
 * receive: see receive.h. Sockets and the thread; what frames mean is intake.h's.
 */
#include "receive.h"

#include "base/log.h"
#include "intake.h"
#include "post.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zmq.h>

enum {
    SOCKETS = 2,
    HIGH_WATER = 64,    /* answers that wait for a connection */
    HIGH_WATER_IN = 16, /* messages of up to FRAME_BYTES that a connection may have here unread: libzmq holds
                           them while a disk makes us wait, for strangers as well */
    ROUND_MESSAGES = 256, /* taken before answers are sent and ZAP is asked again */
    POLL_MS = 500,
    CLOSE_LINGER_MS = 1000, /* for the last acks */
};

struct receive {
    struct curve_keys keys;
    struct intake *intake;
    void *zap, *sockets[SOCKETS];
    struct posts posts;
    int wake_fd;
    atomic_bool stop;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t rotated;
    struct err *rotate; /* somebody waits for a rotation */
    int rotate_rc;
    bool over; /* the thread has ended, or never began */
};

/* ---- one round ------------------------------------------------------------------------------- */

/* Takes the parts behind the payload; true when there were any. */
static bool drop_rest(void *socket, zmq_msg_t *payload)
{
    zmq_msg_t part;
    bool more = zmq_msg_more(payload);
    (void)zmq_msg_init(&part);
    for (bool left = more; left; left = zmq_msg_more(&part))
        if (zmq_msg_recv(&part, socket, 0) < 0)
            break;
    (void)zmq_msg_close(&part);
    return more;
}

static void hand_over(struct receive *r, uint8_t socket, zmq_msg_t *id, zmq_msg_t *payload)
{
    struct peer peer = {.route.socket = socket};
    struct slice bytes = {zmq_msg_data(payload), zmq_msg_size(payload)};
    if (drop_rest(r->sockets[socket], payload))
        bytes.n = 0; /* a frame is one part */
    size_t id_bytes = zmq_msg_size(id);
    if (id_bytes > SESSION_ROUTE_BYTES || curve_peer(payload, &peer.address, peer.curve_key) != 0)
        return; /* libzmq lets no such peer in */
    peer.route.bytes = (uint8_t)id_bytes;
    memcpy(peer.route.id, zmq_msg_data(id), id_bytes);
    intake_frame(r->intake, &peer, bytes);
}

/* False: nothing more at present. */
static bool receive_one(struct receive *r, uint8_t socket)
{
    zmq_msg_t id, payload;
    (void)zmq_msg_init(&id);
    (void)zmq_msg_init(&payload);
    bool got = zmq_msg_recv(&id, r->sockets[socket], ZMQ_DONTWAIT) >= 0;
    if (got && zmq_msg_more(&id) && zmq_msg_recv(&payload, r->sockets[socket], 0) >= 0)
        hand_over(r, socket, &id, &payload);
    (void)zmq_msg_close(&id);
    (void)zmq_msg_close(&payload);
    return got;
}

/* A peer that is gone or does not read misses its answer, nobody else's. */
static void send_answers(struct receive *r)
{
    struct route route;
    struct slice bytes;
    while (intake_answer(r->intake, &route, &bytes)) {
        if (route.socket == ROUTE_HTTPS) {
            posts_answer(&r->posts, &route, bytes);
            continue;
        }
        void *socket = r->sockets[route.socket];
        if (zmq_send(socket, route.id, route.bytes, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0)
            (void)zmq_send(socket, bytes.p, bytes.n, ZMQ_DONTWAIT);
    }
}

static bool admit(void *arg, const struct ip *address)
{
    struct receive *r = arg;
    return intake_knock(r->intake, address);
}

static void answer_zap(struct receive *r)
{
    while (curve_zap_answer(r->zap, admit, r))
        ;
}

/* Everything that is there, within bounds, under one fdatasync. True: there may be more. */
static bool round_of(struct receive *r)
{
    int messages = 0;
    bool posted = posts_take(&r->posts, r->intake), any = true;
    while (any && messages < ROUND_MESSAGES) {
        any = false;
        for (uint8_t i = 0; i < SOCKETS; i++)
            if (r->sockets[i] != NULL && receive_one(r, i)) {
                any = true;
                messages++;
            }
        if (intake_full(r->intake))
            intake_commit(r->intake);
    }
    intake_commit(r->intake);
    send_answers(r);
    posts_settle(&r->posts, r->intake);
    return any || posted;
}

static void drain_wake(const struct receive *r)
{
    uint64_t count;
    ssize_t n = read(r->wake_fd, &count, sizeof count);
    (void)n;
}

/* For whoever waits; over: nothing is done any more. */
static void rotate(struct receive *r, bool over)
{
    (void)pthread_mutex_lock(&r->lock);
    struct err *err = r->rotate;
    (void)pthread_mutex_unlock(&r->lock);
    int rc = err == NULL ? 0
             : over      ? err_set(err, ERR_CANCELLED, "the hub stops")
                         : intake_rotate(r->intake, err);
    (void)pthread_mutex_lock(&r->lock);
    r->over = over;
    if (err != NULL) {
        r->rotate_rc = rc;
        r->rotate = NULL;
    }
    (void)pthread_cond_broadcast(&r->rotated);
    (void)pthread_mutex_unlock(&r->lock);
}

static void wake(struct receive *r)
{
    uint64_t one = 1;
    ssize_t n = write(r->wake_fd, &one, sizeof one);
    (void)n; /* at worst it wakes by itself */
}

static void *run(void *arg)
{
    struct receive *r = arg;
    bool more = false;
    while (!atomic_load(&r->stop)) {
        zmq_pollitem_t items[] = {
            {r->zap, 0, ZMQ_POLLIN, 0},
            {NULL, r->wake_fd, ZMQ_POLLIN, 0},
            {r->sockets[0], 0, ZMQ_POLLIN, 0},
            {r->sockets[1], 0, ZMQ_POLLIN, 0},
        };
        (void)zmq_poll(items, r->sockets[1] != NULL ? 4 : 3, more ? 0 : POLL_MS);
        drain_wake(r);
        answer_zap(r);
        more = round_of(r);
        more |= intake_tick(r->intake);
        send_answers(r);
        rotate(r, false);
    }
    (void)round_of(r);
    posts_close(&r->posts, r->intake);
    rotate(r, true);
    return NULL;
}

/* ---- start and stop -------------------------------------------------------------------------- */

/* libzmq burns a core at the limit of descriptors. */
static void raise_descriptor_limit(uint32_t max_sessions)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)max_sessions + 1024;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
        log_warning("open files are limited to %llu, %u sessions need %llu: raise LimitNOFILE",
                    (unsigned long long)limit.rlim_cur, max_sessions, (unsigned long long)wanted);
}

static int open_sockets(struct receive *r, const struct receive_options *options, struct err *err)
{
    const char *endpoints[SOCKETS] = {options->listen, options->listen_local};
    int rc = curve_zap_open(&r->zap, err);
    for (int i = 0; rc == 0 && i < SOCKETS; i++) {
        if (endpoints[i] == NULL || endpoints[i][0] == '\0')
            continue;
        int unread = HIGH_WATER_IN;
        rc = curve_server(&r->sockets[i], &r->keys, HIGH_WATER, err);
        if (rc == 0 && zmq_setsockopt(r->sockets[i], ZMQ_RCVHWM, &unread, sizeof unread) != 0)
            rc = err_set(err, ERR_UNSUPPORTED, "this libzmq takes no ZMQ_RCVHWM");
        if (rc == 0)
            rc = curve_bind(r->sockets[i], endpoints[i], err);
    }
    if (rc == 0 && r->sockets[0] == NULL)
        rc = err_set(err, ERR_CONFIG, "no wire address is set: set server_address");
    return rc;
}

static int start_thread(struct receive *r, struct err *err)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&r->thread, NULL, run, r);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        return err_errno(err, failed, "the receiving thread cannot be started");
    (void)pthread_setname_np(r->thread, "receive");
    return 0;
}

static void close_all(struct receive *r)
{
    int linger_ms = CLOSE_LINGER_MS;
    for (int i = 0; i < SOCKETS; i++)
        if (r->sockets[i] != NULL) {
            (void)zmq_setsockopt(r->sockets[i], ZMQ_LINGER, &linger_ms, sizeof linger_ms);
            (void)zmq_close(r->sockets[i]);
        }
    curve_zap_close(&r->zap);
    intake_close(&r->intake);
    if (r->wake_fd >= 0)
        (void)close(r->wake_fd);
    posts_fini(&r->posts);
    (void)pthread_cond_destroy(&r->rotated);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

int receive_start(struct receive **out, const struct receive_options *options, struct journal *journal,
                  struct err *err)
{
    struct receive *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the receiver");
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_cond_init(&r->rotated, NULL);
    r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    posts_init(&r->posts, r->wake_fd);
    int rc = r->wake_fd < 0 ? err_errno(err, errno, "eventfd") : 0;
    if (rc == 0)
        rc = curve_keys_load(&r->keys, options->key_file, err);
    if (rc == 0)
        rc = intake_open(&r->intake, options, journal, err);
    raise_descriptor_limit(options->max_sessions);
    if (rc == 0)
        rc = open_sockets(r, options, err);
    if (rc == 0)
        rc = start_thread(r, err);
    if (rc != 0) {
        close_all(r);
        return rc;
    }
    *out = r;
    return 0;
}

void receive_stop(struct receive **receive)
{
    struct receive *r = *receive;
    if (r == NULL)
        return;
    atomic_store(&r->stop, true);
    wake(r);
    (void)pthread_join(r->thread, NULL);
    close_all(r);
    *receive = NULL;
}

int receive_rotate(struct receive *r, struct err *err)
{
    struct err why = {0};
    (void)pthread_mutex_lock(&r->lock);
    bool over = r->over;
    if (!over) {
        r->rotate = &why;
        wake(r);
    }
    while (r->rotate != NULL)
        (void)pthread_cond_wait(&r->rotated, &r->lock);
    int rc = over ? ERR_CANCELLED : r->rotate_rc;
    (void)pthread_mutex_unlock(&r->lock);
    return rc != 0 ? err_set(err, rc, "%s", over ? "the hub stops" : err_detail(&why)) : 0;
}

void receive_get_stats(struct receive *receive, struct receive_stats *out)
{
    intake_get_stats(receive->intake, out);
}

int receive_edge_history(struct receive *receive, uint32_t tenant, const char *id, struct buf *json)
{
    return intake_edge_history(receive->intake, tenant, slice_of(id), json);
}

bool receive_heard(struct receive *receive, uint32_t tenant)
{
    return intake_heard(receive->intake, tenant);
}

int receive_edges(struct receive *receive, uint32_t tenant, struct buf *json)
{
    return intake_edges(receive->intake, tenant, json);
}

void receive_public_key(struct receive *receive, char z85[CURVE_Z85_BYTES])
{
    memcpy(z85, receive->keys.public_key, CURVE_Z85_BYTES);
}

int receive_post(struct receive *receive, struct post *post)
{
    return posts_put(&receive->posts, post);
}

int receive_share(const struct receive *receive, const char *edge_key_z85, struct parcel_secret *out)
{
    return parcel_share(out, receive->keys.secret_key, edge_key_z85);
}
