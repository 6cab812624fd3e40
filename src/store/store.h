/* SPDX-License-Identifier: Apache-2.0
 *
 * store: the one interface to the engines. An engine is a struct of functions; the conformance suite
 * (src/store/conform_*.c) holds for every one of them. Writing is for one thread, the loader's:
 * append rows, then commit them together with the cursor, or roll back. After any error from append or
 * commit the transaction is gone, and the caller rewinds to the stored cursor. ERR_ENGINE may be the rows'
 * fault: it halves its batch until the bad record is alone, and quarantines it. Every other code (ERR_FULL,
 * ERR_NO_MEMORY, ERR_IO, ERR_BUSY, …) is the environment's: it waits and tries the same again.
 * An engine without transactions deduplicates on (tenant, edge, epoch, seq).
 * Asking is for any number of threads at once and never delays the writer.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "journal/journal.h"
#include "store/scan.h"

#define STORE_ROLLUPS_FILE "rollups.duckdb" /* in an engine's directory */

/* How far the store has read the hub's journal. */
struct store_cursor {
    struct journal_pos pos; /* of the journal record to read next */
    uint32_t skip;          /* events of that record that are stored already */
};

struct store_options {
    const char *engine; /* "duckdb", "null" */
    const char *dir;    /* the engine's own directory, made when missing */
    uint64_t memory_bytes;
    uint32_t query_threads;    /* questions at once */
    uint32_t query_per_tenant; /* of one tenant; 0: one less than query_threads, and at least 1 */
};

/* An engine may keep its rows in parts. Each has what it was given between two cursors: in the journal's
 * order the parts follow each other without gap or overlap, but where the cursor was set back. One part is
 * open and takes what is appended. A closed part is never written again; it is replaced as a whole
 * (store_rewrite_part) by its next generation. The open part is closed when a transaction begins whose first
 * row has a later month of hub_ts (UTC) than the part's first row had; a clock that steps back changes
 * nothing. */
struct store_part {
    uint64_t id;         /* from 1, in the order of the journal */
    uint64_t last_id;    /* ids up to it were merged into this one; else id */
    unsigned generation; /* from 1 */
    int year;            /* of its first row's hub_ts */
    int month;           /* 1 to 12 */
    bool open, ordered;  /* ordered: by tenant, then ts */
    struct store_cursor begin, end;
    int64_t min_ts, max_ts; /* 0 without rows, as the next two */
    int64_t min_hub_ts, max_hub_ts;
    uint64_t rows;
    uint64_t bytes; /* on disk */
};

/* What a rewriting leaves out, and what it changes. Everything is borrowed during the call. */
enum store_kind { STORE_KIND_EVENTS, STORE_KIND_HOURLY, STORE_KIND_DAILY }; /* of data that is kept */
/* Rows of a tenant whose hub_ts is before before_us; with an address (lower case) only those that have it, in
 * any case of ASCII letters, as sender, recipient, sasl_username or sasl_sender, or somewhere in extra. */
struct store_erasure {
    uint32_t tenant;
    struct slice address; /* empty: the whole tenant */
    int64_t before_us;
};
/* Rows of a tenant, or of all that have no such entry (0), whose ts is before before_us. Only kind EVENTS
 * concerns the rows. */
struct store_keep {
    uint32_t tenant;
    enum store_kind kind;
    int64_t before_us;
};
struct store_rewrite {
    const struct store_erasure *erasures;
    size_t erasure_count;
    const struct store_keep *keeps;
    size_t keep_count;
    bool only_old;              /* store_sweep: nothing is written when nothing is too old */
    uint32_t reclassify_tenant; /* 0: none. Its rows get their direction and rule_version anew: */
    int (*classify)(void *arg, struct event *event); /* from tenant, client_address, sasl_username (some text,
                                                        when there was one) and recipient_domain */
    void *classify_arg;
};

struct store_stats {
    uint64_t rows; /* stored now */
    uint64_t commits, rollbacks;
    uint64_t bytes; /* on disk */
    uint64_t queries, query_errors, queries_running;
};

struct store; /* each engine's own; the first member is const struct store_engine *engine */

struct store_engine {
    const char *name;
    int (*open)(struct store **out, const struct store_options *options, struct err *err);
    void (*close)(struct store **store);
    int (*cursor)(struct store *store, struct store_cursor *out, struct err *err);
    int (*checkpointed)(struct store *store, struct store_cursor *out, struct err *err);
    int (*append)(struct store *store, const struct event *rows, size_t count, struct err *err);
    int (*commit)(struct store *store, struct store_cursor cursor, struct err *err);
    int (*rollback)(struct store *store, struct err *err);
    int (*checkpoint)(struct store *store, struct err *err);
    bool (*gap)(struct store *store, struct store_cursor *until);
    int (*close_part)(struct store *store, struct err *err);
    int (*parts)(struct store *store, int (*each)(void *arg, const struct store_part *part), void *arg,
                 struct err *err);
    int (*rewrite_part)(struct store *store, uint64_t id, const struct store_rewrite *how,
                        const atomic_bool *cancelled,
                        void (*progress)(void *arg, uint64_t done, uint64_t all), void *arg, struct err *err);
    int (*sweep)(struct store *store, const struct store_rewrite *how, const atomic_bool *cancelled,
                 struct err *err);
    int (*files)(struct store *store, int (*each)(void *arg, const char *path, struct err *err), void *arg,
                 struct err *err);
    int (*rollups)(struct store *store, const atomic_bool *cancelled,
                   int (*each)(void *arg, const char *path, struct err *err), void *arg, struct err *err);
    int (*verify)(struct store *store, int (*found)(void *arg, const char *part, const char *what, bool good),
                  void *arg, struct err *err);
    int (*query)(struct store *store, const struct query *query, struct query_sink *sink, struct err *err);
    int (*scan)(struct store *store, const struct store_scan *scan,
                int (*row)(void *arg, const struct event *event), void *arg,
                struct err *err); /* one stretch */
    int (*roll)(struct store *store, int64_t now_us, const atomic_bool *cancelled, struct err *err);
    void (*cancel)(struct store *store); /* a question's flag was set: it ends with ERR_CANCELLED */
    void (*stats)(struct store *store, struct store_stats *out);
};

/* Opens the named engine; recovers or sets damage aside. ERR_UNSUPPORTED (not in this build), ERR_BUSY,
 * ERR_CORRUPT. */
MUST_CHECK int store_open(struct store **out, const struct store_options *options, struct err *err);
void store_close(struct store **store);

/* The last durable cursor; {{0,0},0} in a new store; within a gap: store_gap. Any thread. */
MUST_CHECK int store_cursor(struct store *store, struct store_cursor *out, struct err *err);
/* The cursor of the last checkpoint, never beyond the durable one: what stands before it is still there when
 * the engine's log of its commits is damaged and set aside, so the journal may retire behind it. {{0,0},0}
 * while none is known. Any thread. */
MUST_CHECK int store_checkpointed(struct store *store, struct store_cursor *out, struct err *err);

/* Writer's thread. Without rows it only opens again what a failure broke, if anything. Rows are copied. All
 * texts are valid UTF-8 (event.h); an engine may check again (ERR_ENGINE). */
MUST_CHECK int store_append(struct store *store, const struct event *rows, size_t count, struct err *err);
/* A cursor goes back only by itself (ERR_INVALID with rows, or within a gap). */
MUST_CHECK int store_commit(struct store *store, struct store_cursor cursor, struct err *err);
MUST_CHECK int store_rollback(struct store *store, struct err *err);
/* Writer's thread, when nothing is appended: makes the last commit the checkpoint. Engines also do so by
 * themselves now and then, and when they are closed. ERR_BUSY: not while questions run; try again soon. After
 * any other error the commits stand; the cursor tells. */
MUST_CHECK int store_checkpoint(struct store *store, struct err *err);

/* Damage may have cost a part in the middle of the journal's order. Then the cursor stands in that gap, at
 * what is missing, and *until is where the gap ends: rows of what lies behind it must not be appended before
 * the cursor is there. A commit at or behind *until ends the gap, and the cursor moves on to the next gap or
 * to the end of all. True while there is a gap. Any thread. */
bool store_gap(struct store *store, struct store_cursor *until);

/* Writer's thread, when nothing is appended: closes the open part, when it has rows; what is appended from
 * now on goes into a new one. Errors as store_commit. */
MUST_CHECK int store_close_part(struct store *store, struct err *err);
/* Calls each() for every part in the order of the journal, until it answers other than 0 and with its answer.
 * What it is told is a copy: the store may be written and asked meanwhile. Any thread. ERR_NO_MEMORY. */
MUST_CHECK int store_parts(struct store *store, int (*each)(void *arg, const struct store_part *part),
                           void *arg, struct err *err);

/* Writes a closed part anew, as its next generation: ordered by tenant and ts, without what `how` (NULL:
 * nothing) leaves out. Questions go on and see the old rows or the new ones; the old file goes with its last
 * reader. A kill at any moment leaves the old part or the new one. Takes the calling thread, which must not
 * be the writer's (that is never held up), memory and room on the disk of its own, and about two times as
 * long as appending the rows took. Once *cancelled (may be NULL) is true it ends soon, with ERR_CANCELLED and
 * nothing changed. progress (may be NULL) is told rows, of all there are to write. ERR_NOT_FOUND,
 * ERR_CONFLICT (it is open), ERR_BUSY (another is being rewritten, or it still waits for a checkpoint; of
 * what is to go because it is old, more is coming in or there is a gap: try again), ERR_FULL, or what
 * classify answered. */
MUST_CHECK int store_rewrite_part(struct store *store, uint64_t id, const struct store_rewrite *how,
                                  const atomic_bool *cancelled,
                                  void (*progress)(void *arg, uint64_t done, uint64_t all), void *arg,
                                  struct err *err);
/* Takes out of the roll-ups, and out of their files, what parts have no more: figures that rewriting made
 * untrue, those of values that `how` (NULL: nothing) erases, and periods that are older than it keeps (kinds
 * HOURLY and DAILY). What is rolled again meanwhile answers from the events. Questions may have to wait for a
 * moment. Takes the calling thread, which must not be the writer's. ERR_CANCELLED, ERR_BUSY (try again),
 * ERR_FULL, ERR_ENGINE (damage): nothing has changed. After a failure store_append without rows opens again
 * what it may have broken. */
MUST_CHECK int store_sweep(struct store *store, const struct store_rewrite *how, const atomic_bool *cancelled,
                           struct err *err);

/* Writer's thread, when nothing is appended: closes the open part, then calls each() with the path of every
 * file of events that the store needs, none of which is written again: removed or replaced by another at
 * most. For backups. Errors as store_close_part; what each() answers ends it. */
MUST_CHECK int store_files(struct store *store, int (*each)(void *arg, const char *path, struct err *err),
                           void *arg, struct err *err);

/* Calls each() with the path of a copy of the roll-ups as they are at one moment, complete and closed, which
 * is removed afterwards: take a link, and restore it as STORE_ROLLUPS_FILE. For backups, after store_files:
 * beside those files, roll-ups may know of rows that the journal has and the store has yet to read, which
 * makes them right, while ones that lack rows would stay wrong. Takes the calling thread, which must not be
 * the writer's, and as much room on the disk as they have. Engines without roll-ups call nothing. ERR_BUSY
 * (try again), ERR_CANCELLED, ERR_FULL, ERR_ENGINE, or what each() answered. */
MUST_CHECK int store_rollups(struct store *store, const atomic_bool *cancelled,
                             int (*each)(void *arg, const char *path, struct err *err), void *arg,
                             struct err *err);

/* Reads everything there is and holds it against what it says of itself. Calls found() with each thing looked
 * at, until it answers other than 0 and with its answer: part is a part's name, what a line for people.
 * Damage is no error of this call. Any thread but the writer's; takes as long as reading takes. ERR_BUSY: a
 * part is being rewritten, or another thread verifies. */
MUST_CHECK int store_verify(struct store *store,
                            int (*found)(void *arg, const char *part, const char *what, bool good), void *arg,
                            struct err *err);

/* Any thread; blocks until answered. Runs query_check first, and answers what no engine has to know
 * (refine.h). ERR_TIMEOUT, ERR_CANCELLED, ERR_BUSY (too many at once, in all or of its tenant), ERR_LIMIT
 * (memory), or what the sink returned. */
MUST_CHECK int store_query(struct store *store, const struct query *query, struct query_sink *sink,
                           struct err *err);
/* The events of a scan (scan.h), at most scan->limit, in its order; the same threads and errors. An event is
 * valid during the call; row's non-zero answer stops the scan and is returned. Leaves scan->stretch_us as it
 * is best for the next page. */
MUST_CHECK int store_scan(struct store *store, struct store_scan *scan,
                          int (*row)(void *arg, const struct event *event), void *arg, struct err *err);
/* Makes the roll-ups of all that was over at now_us now; engines also do so by themselves, some time later.
 * Any thread; cancelled (or NULL) is looked at now and then. ERR_CANCELLED, ERR_BUSY, ERR_LIMIT: try again;
 * no answer is wrong meanwhile. */
MUST_CHECK int store_roll(struct store *store, int64_t now_us, const atomic_bool *cancelled, struct err *err);
/* Ends one question with ERR_CANCELLED, whether it runs, waits for its turn or has yet to be asked: the one
 * whose query->cancelled this is. Any thread; returns at once. */
void store_cancel(struct store *store, atomic_bool *cancelled);
void store_get_stats(struct store *store, struct store_stats *out);

/* The order of the journal. */
static inline int store_cursor_compare(struct store_cursor a, struct store_cursor b)
{
    int order = journal_pos_compare(a.pos, b.pos);
    return order != 0 ? order : a.skip < b.skip ? -1 : a.skip > b.skip;
}

#endif
