/* SPDX-License-Identifier: Apache-2.0
 *
 * marks: which periods the rows of a transaction make untrue (rolled.h): their hours and days, and the
 * neighbours within QUERY_MESSAGE_US, where the same messages may be counted. Known marks are not written
 * again, until the roller takes one. Rolling and committing exclude each other only for the moments in which
 * the one begins and the other ends:
 *   writer  marks_note for rows, then marks_begin … COMMIT … marks_end, when others can know of the commit
 *   roller  marks_lock, marks_forget, begin a transaction and look at it, marks_unlock
 * So a commit is either in what the roller sees, or it writes its mark again.
 *
 * Periods that are kept (kept.h) get no mark: what comes late for them is found among the events only.
 */
#ifndef STORE_DUCKDB_MARKS_H
#define STORE_DUCKDB_MARKS_H

#include "event/event.h"

#include <duckdb.h>
#include <pthread.h>

struct period {
    bool daily;
    uint32_t tenant;
    int64_t start; /* us */
};

struct mark {
    uint64_t key; /* 0: a free place */
    int64_t touched_us;
};

struct mark_set {
    struct mark *marks;
    size_t count, room; /* a power of two, or 0 */
};

struct marks {
    pthread_mutex_t mutex;
    duckdb_connection connection;
    struct mark_set known;   /* under the mutex */
    struct mark_set kept;    /* under the mutex: tenants, and where the last period begins that is kept */
    struct mark_set pending; /* the writer's */
    uint64_t last;           /* the hour noted last: rows come in its order, mostly */
};

void marks_init(struct marks *marks);
/* Forgets all, and learns what is kept; the connection to write on, borrowed. ERR_NO_MEMORY, ERR_LIMIT,
 * ERR_ENGINE … */
MUST_CHECK int marks_reset(struct marks *marks, duckdb_connection connection, struct err *err);
void marks_fini(struct marks *marks);

/* Writer's thread. ERR_NO_MEMORY. */
MUST_CHECK int marks_note(struct marks *marks, const struct event *rows, size_t count);
void marks_drop(struct marks *marks); /* what was noted since the last commit */
/* Before the commit: writes the marks that are not known yet, in a transaction of their own. They may stand
 * for rows that never come, which costs a rolling; rows without their marks can't be. Locks until marks_end,
 * in any case. *fatal: fault_is_fatal. */
MUST_CHECK int marks_begin(struct marks *marks, bool *fatal, struct err *err);
void marks_end(struct marks *marks, bool committed, int64_t now_us);

/* Any thread. */
void marks_lock(struct marks *marks);
void marks_unlock(struct marks *marks);
void marks_forget(struct marks *marks, const struct period *period); /* locked */
void marks_forget_all(struct marks *marks);                          /* locked; what is kept stays known */
/* Learns which periods are kept, as the connection sees it, in its transaction or without one. Locked. */
MUST_CHECK int marks_learn_kept(struct marks *marks, duckdb_connection connection, struct err *err);
/* When rows of it were committed last (monotonic); 0: not since it was forgotten, or the start. Locked. */
int64_t marks_touched_us(const struct marks *marks, const struct period *period);

#endif
