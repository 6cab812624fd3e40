/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve: see resolve.h.
 */
#include "resolve.h"

#include "wire/curve.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENDPOINT_BYTES = CURVE_HOST_BYTES + CURVE_PORT_BYTES + 16 };

struct resolve {
    pthread_mutex_t lock;
    char endpoint[ENDPOINT_BYTES];
    void (*done)(void *arg);
    void *arg;
    bool ended, abandoned; /* whoever comes second frees it */
    int rc;
    struct err err;
    struct resolved found;
};

/* --- addresses ----------------------------------------------------------------------------------------- */

static void add(struct resolved *out, const struct addrinfo *info)
{
    char host[64], port[8];
    if (out->n == RESOLVED_MAX || info->ai_addrlen > sizeof out->to[0].address ||
        getnameinfo(info->ai_addr, info->ai_addrlen, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    memcpy(&out->to[out->n].address, info->ai_addr, info->ai_addrlen);
    out->to[out->n].address_bytes = info->ai_addrlen;
    (void)snprintf(out->to[out->n].endpoint, RESOLVED_BYTES,
                   info->ai_family == AF_INET6 ? "tcp://[%s]:%s" : "tcp://%s:%s", host, port);
    out->n++;
}

/* The next one of the family, or not of it. */
static const struct addrinfo *next_of(const struct addrinfo *info, int family, bool same)
{
    while (info != NULL && (info->ai_family == family) != same)
        info = info->ai_next;
    return info;
}

/* The order of getaddrinfo (RFC 6724) within each family, and for which of them is first. */
static void take_turns(struct resolved *out, const struct addrinfo *found)
{
    const struct addrinfo *ones = found, *others = next_of(found, found->ai_family, false);
    while (ones != NULL || others != NULL) {
        if (ones != NULL) {
            add(out, ones);
            ones = next_of(ones->ai_next, found->ai_family, true);
        }
        if (others != NULL) {
            add(out, others);
            others = next_of(others->ai_next, found->ai_family, false);
        }
    }
}

int resolve_now(const char *endpoint, struct resolved *out, struct err *err)
{
    char host[CURVE_HOST_BYTES], port[CURVE_PORT_BYTES];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    out->n = 0;
    int rc = curve_endpoint_split(endpoint, host, port, err);
    if (rc != 0)
        return rc;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed == 0) {
        take_turns(out, found);
        freeaddrinfo(found);
    }
    return out->n > 0
               ? 0
               : err_set(err, ERR_UNAVAILABLE, "%s has no address: correct `server` or the name service [%s]",
                         host, gai_strerror(failed));
}

/* --- the thread ---------------------------------------------------------------------------------------- */

static void destroy(struct resolve *resolve)
{
    pthread_mutex_destroy(&resolve->lock);
    free(resolve);
}

static void *run(void *arg)
{
    struct resolve *resolve = arg;
    struct resolved found;
    struct err err = {0};
    int rc = resolve_now(resolve->endpoint, &found, &err);
    pthread_mutex_lock(&resolve->lock);
    bool abandoned = resolve->abandoned;
    resolve->found = found;
    resolve->err = err;
    resolve->rc = rc;
    resolve->ended = true;
    if (!abandoned)
        resolve->done(resolve->arg);
    pthread_mutex_unlock(&resolve->lock);
    if (abandoned)
        destroy(resolve);
    return NULL;
}

/* Signals stay with the program's other threads. */
static int start_thread(struct resolve *resolve)
{
    sigset_t all, before;
    pthread_attr_t attr;
    pthread_t thread;
    (void)sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int errnum = pthread_create(&thread, &attr, run, resolve);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return errnum;
}

int resolve_start(struct resolve **out, const char *endpoint, void (*done)(void *arg), void *arg,
                  struct err *err)
{
    struct resolve *resolve = calloc(1, sizeof *resolve);
    if (resolve == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory to look up the hub");
    (void)pthread_mutex_init(&resolve->lock, NULL);
    resolve->done = done;
    resolve->arg = arg;
    int rc = slice_to_string(slice_of(endpoint), resolve->endpoint, sizeof resolve->endpoint) == 0
                 ? 0
                 : err_set(err, ERR_CONFIG, "server is too long");
    int errnum = rc == 0 ? start_thread(resolve) : 0;
    if (errnum != 0)
        rc = err_errno(err, errnum, "the thread that looks up the hub cannot be started");
    if (rc == 0)
        *out = resolve;
    else
        destroy(resolve);
    return rc;
}

int resolve_take(struct resolve **resolve, struct resolved *out, struct err *err)
{
    struct resolve *self = *resolve;
    pthread_mutex_lock(&self->lock);
    bool ended = self->ended;
    pthread_mutex_unlock(&self->lock);
    if (!ended)
        return ERR_MORE;
    *resolve = NULL;
    *out = self->found;
    int rc = self->rc;
    if (rc != 0 && err != NULL)
        *err = self->err;
    destroy(self);
    return rc;
}

void resolve_abandon(struct resolve **resolve)
{
    struct resolve *self = *resolve;
    *resolve = NULL;
    if (self == NULL)
        return;
    pthread_mutex_lock(&self->lock);
    bool ended = self->ended;
    self->abandoned = true;
    pthread_mutex_unlock(&self->lock);
    if (ended)
        destroy(self);
}
