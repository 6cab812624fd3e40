/* SPDX-License-Identifier: Apache-2.0
 *
 * ingest_impl: what the files of ingest share. Not for others.
 */
#ifndef HUB_INGEST_IMPL_H
#define HUB_INGEST_IMPL_H

#include "account/account.h"
#include "ingest.h"
#include "lines.h"
#include "post.h"

#include <stdatomic.h>

/* A place between two lines of a request. */
struct cursor {
    struct slice rest;
    size_t number; /* lines before it */
};

/* Where a strand came from, and its body's memory. */
struct span {
    struct cursor from;   /* before its first line */
    size_t number, count; /* of its first line; of its lines */
    uint64_t last_seq;
    char *body; /* owned */
};

struct job {
    struct job *next;
    struct ingest *ingest;
    const struct http_request *request; /* http's, until http_finish */
    struct http_reply *reply;
    struct post post;
    bool came_back; /* from the receiving thread */
    /* frames: */
    struct parcel_secret secret;
    uint8_t proof[PARCEL_PROOF_BYTES];
    /* lines: */
    uint32_t tenant;
    struct cursor at; /* not yet cut */
    bool transient;   /* a refusal that is the hub's own fault */
    unsigned rounds;  /* of cutting the same lines again */
    size_t strand_count;
    struct strand strands[POST_STRANDS];
    struct span spans[POST_STRANDS];
    uint64_t accepted, known, refused;
    size_t refusals;
    struct buf told; /* the refusals, as JSON */
};

struct ingest {
    struct receive *receive;
    const char *account_path;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *first, **last;
    size_t jobs; /* waiting, in hand, and at the receiving thread */
    bool stop;
    /* the thread's own: */
    struct account *account; /* NULL: not open yet */
    struct batch_writer *writer;
    struct buf event; /* one line's request */
    /* counters */
    _Atomic uint64_t requests, parcels, bad_parcels, lines_accepted, lines_known, lines_refused;
};

/* ingest.c: fills the reply and ends the job. */
void ingest_finish(struct job *job);
void ingest_problem(struct job *job, int status, const char *detail); /* with a Retry-After for 503 */
struct slice ingest_bearer(const struct http_head *head);             /* its API key; empty without one */
/* To the receiving thread; it comes back to ingest_lines_back(). False: it was refused, and is finished. */
bool ingest_post(struct job *job);

/* ingest_lines.c. The thread. */
void ingest_lines(struct job *job);
void ingest_lines_back(struct job *job);
void ingest_lines_fini(struct job *job);

#endif
