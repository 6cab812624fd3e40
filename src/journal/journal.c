/* SPDX-License-Identifier: Apache-2.0
 *
 * journal: opening, closing, statistics and the list of segments. See journal.h for what is promised and
 * inside.h for the other files of the room.
 */
#include "inside.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint64_t mib = 1024 * 1024;

/* --- the list ------------------------------------------------------------------------------------------ */

struct segment *segment_after(struct journal *journal, uint64_t number)
{
    size_t low = 0, high = journal->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (journal->segments[middle].number > number)
            high = middle;
        else
            low = middle + 1;
    }
    return low < journal->n ? &journal->segments[low] : NULL;
}

struct segment *segment_find(struct journal *journal, uint64_t number)
{
    struct segment *found = number != 0 ? segment_after(journal, number - 1) : NULL;
    return found != NULL && found->number == number ? found : NULL;
}

int segment_reserve(struct journal *journal)
{
    if (journal->n < journal->capacity)
        return 0;
    size_t capacity = journal->capacity != 0 ? journal->capacity * 2 : 16;
    struct segment *more = realloc(journal->segments, capacity * sizeof *more);
    if (more == NULL)
        return ERR_NO_MEMORY;
    journal->segments = more;
    journal->capacity = capacity;
    return 0;
}

void segment_remove(struct journal *journal, struct segment *segment)
{
    size_t behind = (size_t)(journal->segments + journal->n - (segment + 1));
    journal->bytes -= segment->file_bytes;
    memmove(segment, segment + 1, behind * sizeof *segment);
    journal->n--;
}

uint64_t segment_unretired(const struct journal *journal, const struct segment *segment)
{
    uint64_t before = journal->retired_before, records = segment->summary.records;
    if (segment->number != journal->cursor.retired.segment)
        return segment->number > journal->cursor.retired.segment ? records : 0;
    return records > before ? records - before : 0;
}

uint64_t journal_last_seq(struct journal *journal, const struct epoch *epoch)
{
    uint64_t last = 0;
    pthread_mutex_lock(&journal->state);
    for (size_t i = 0; i < journal->n; i++)
        if (epoch_equal(&journal->segments[i].epoch, epoch) && journal->segments[i].summary.last_seq > last)
            last = journal->segments[i].summary.last_seq;
    pthread_mutex_unlock(&journal->state);
    return last;
}

uint64_t journal_synced_seq(struct journal *journal)
{
    pthread_mutex_lock(&journal->state);
    uint64_t seq = journal->synced_seq;
    pthread_mutex_unlock(&journal->state);
    return seq;
}

uint64_t journal_behind_all(struct journal *journal)
{
    pthread_mutex_lock(&journal->state);
    uint64_t number = journal->n != 0 ? journal->segments[journal->n - 1].number + 1 : 1;
    pthread_mutex_unlock(&journal->state);
    return number;
}

/* --- open and close ------------------------------------------------------------------------------------ */

static void take_options(struct journal *journal, const struct journal_options *options)
{
    uint64_t segment = options->segment_bytes;
    journal->max_bytes = options->max_bytes;
    if (segment == 0) {
        segment = options->max_bytes / 16;
        segment = segment < mib ? mib : segment > 64 * mib ? 64 * mib : segment;
    }
    journal->segment_bytes = segment < options->max_bytes / 4 ? segment : options->max_bytes / 4;
    journal->compress_level = options->compress_level;
    journal->keep_unretired = options->keep_unretired;
}

static int sync_parent(const char *dir)
{
    char parent[4096];
    const char *slash = strrchr(dir, '/');
    struct slice name = {dir, slash != NULL ? (size_t)(slash - dir) : 0};
    if (slash == NULL)
        name = SLICE(".");
    else if (slash == dir)
        name = SLICE("/");
    if (slice_to_string(name, parent, sizeof parent) != 0)
        return 0;
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd >= 0 ? fsync(fd) : -1;
    if (fd >= 0)
        close(fd);
    return rc;
}

static int open_dir(struct journal *journal, struct err *err)
{
    if (mkdir(journal->dir, 0700) == 0) {
        if (sync_parent(journal->dir) != 0)
            return err_errno(err, errno, "journal directory %s cannot be synced", journal->dir);
    } else if (errno != EEXIST)
        return err_errno(err, errno, "journal directory %s cannot be made", journal->dir);
    journal->dir_fd = open(journal->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (journal->dir_fd < 0)
        return err_errno(err, errno, "journal directory %s cannot be opened", journal->dir);
    journal->lock_fd = openat(journal->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (journal->lock_fd < 0)
        return err_errno(err, errno, "journal's lock %s/lock cannot be opened", journal->dir);
    if (flock(journal->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return err_set(err, ERR_BUSY, "journal %s is in use by another process: stop that first",
                           journal->dir);
        return err_errno(err, errno, "journal's lock %s/lock cannot be taken", journal->dir);
    }
    return 0;
}

/* Numbers of a journal without history begin at the clock, so that a cursor into a directory that was wiped
 * lies before everything new, not behind it. */
static void first_number(struct journal *journal)
{
    uint64_t last = journal->cursor.retired.segment;
    if (journal->cursor.dropped_through > last)
        last = journal->cursor.dropped_through;
    if (journal->n != 0 && journal->segments[journal->n - 1].number > last)
        last = journal->segments[journal->n - 1].number;
    if (last == 0)
        last = (uint64_t)clock_real_us();
    if (journal->next_number <= last)
        journal->next_number = last + 1;
}

static int open_all(struct journal *journal, struct err *err)
{
    struct err why = {0};
    int rc = open_dir(journal, err);
    if (rc == 0 && (rc = cursor_open(journal->dir_fd, &journal->cursor_fd, &journal->cursor, &why)) != 0)
        return err_set(err, rc, "%s: %s", journal->dir, why.detail);
    journal->cursor_generation = journal->cursor.generation;
    if (rc == 0 && getrandom(journal->epoch.b, sizeof journal->epoch.b, 0) != sizeof journal->epoch.b)
        rc = err_set(err, ERR_IO, "no random numbers for a new epoch");
    if (rc == 0)
        rc = journal_recover(journal, err);
    if (rc == 0) {
        struct journal_pos retired = journal->cursor.retired;
        first_number(journal);
        journal->opened_at = journal->next_number;
        journal->cursor.retired = (struct journal_pos){0, 0};
        if (retired.segment != 0) /* counts what stands before it */
            rc = journal_retire(journal, retired, err);
    }
    return rc;
}

static void free_all(struct journal *journal)
{
    const int fds[] = {journal->dir_fd, journal->cursor_fd, journal->lock_fd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    source_fini(&journal->walk);
    pthread_mutex_destroy(&journal->rewriting);
    pthread_mutex_destroy(&journal->files);
    pthread_mutex_destroy(&journal->state);
    free(journal->segments);
    free(journal->dir);
    free(journal);
}

int journal_open(struct journal **out, const struct journal_options *options, struct err *err)
{
    *out = NULL;
    struct journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL || (journal->dir = strdup(options->dir)) == NULL) {
        free(journal);
        return err_set(err, ERR_NO_MEMORY, "journal cannot be opened: out of memory");
    }
    take_options(journal, options);
    journal->dir_fd = journal->lock_fd = journal->cursor_fd = journal->fd = journal->spare_fd = -1;
    journal->next_seq = 1;
    source_init(&journal->walk);
    pthread_mutex_init(&journal->rewriting, NULL);
    pthread_mutex_init(&journal->files, NULL);
    pthread_mutex_init(&journal->state, NULL);
    int rc = open_all(journal, err);
    if (rc != 0) {
        free_all(journal);
        return rc;
    }
    *out = journal;
    return 0;
}

void journal_close(struct journal **journal)
{
    if (*journal == NULL)
        return;
    active_close(*journal);
    (void)!journal_store_cursor(*journal, true, false, NULL); /* lazily durable */
    free_all(*journal);
    *journal = NULL;
}

/* --- the writer's calls -------------------------------------------------------------------------------- */

void journal_epoch(const struct journal *journal, struct epoch *out)
{
    *out = journal->epoch;
}

struct journal_pos journal_opened_at(const struct journal *journal)
{
    return (struct journal_pos){journal->opened_at, 0};
}

int journal_append(struct journal *journal, uint16_t kind, int64_t ts_us, struct slice payload, uint64_t *seq,
                   struct err *err)
{
    uint8_t header[RECORD_HEADER_BYTES];
    struct record record = {.seq = journal->next_seq, .ts_us = ts_us, .kind = kind};
    if (payload.n > JOURNAL_RECORD_BYTES)
        return err_set(err, ERR_LIMIT, "a record of %zu bytes is longer than a journal takes", payload.n);
    record_encode(record_seed(&journal->epoch), &record, payload, header);
    struct segment_summary what = segment_summary_of(&record);
    struct iovec parts[2] = {{header, sizeof header}, {(void *)(uintptr_t)payload.p, payload.n}};
    int rc = active_append(journal, &journal->epoch, parts, payload.n != 0 ? 2 : 1, record_bytes(&record),
                           &what, err);
    if (rc != 0)
        return rc;
    journal->next_seq++;
    if (seq != NULL)
        *seq = record.seq;
    return 0;
}

int journal_append_stretch(struct journal *journal, const struct epoch *epoch, const struct iovec *parts,
                           int n, uint64_t bytes, const struct segment_summary *what, struct err *err)
{
    int rc = active_append(journal, epoch, parts, n, bytes, what, err);
    if (rc == 0 && epoch_equal(epoch, &journal->epoch))
        journal->next_seq = what->last_seq + 1;
    return rc;
}

int journal_sync(struct journal *journal, struct err *err)
{
    int rc = active_sync(journal, err);
    if (rc == 0 && journal->on_sync != NULL)
        journal->on_sync(journal->on_sync_arg);
    return rc;
}

int journal_rotate(struct journal *journal, struct err *err)
{
    int rc = active_rotate(journal, err);
    if (rc == 0 && journal->on_sync != NULL)
        journal->on_sync(journal->on_sync_arg);
    return rc;
}

bool journal_take_lost(struct journal *journal, uint64_t *first, uint64_t *last)
{
    *first = journal->lost_first;
    *last = journal->lost_last;
    journal->lost_first = journal->lost_last = 0;
    return *first != 0;
}

void journal_on_sync(struct journal *journal, void (*synced)(void *arg), void *arg)
{
    journal->on_sync = synced;
    journal->on_sync_arg = arg;
}

/* --- statistics ---------------------------------------------------------------------------------------- */

/* The lock is no part of what a caller sees as const. */
static struct journal *unlocked(const struct journal *journal)
{
    return (struct journal *)(uintptr_t)journal;
}

struct journal_pos journal_retired(const struct journal *journal)
{
    pthread_mutex_lock(&unlocked(journal)->state);
    struct journal_pos pos = journal->cursor.retired;
    pthread_mutex_unlock(&unlocked(journal)->state);
    return pos;
}

void journal_span(struct journal *journal, uint64_t *oldest, uint64_t *next)
{
    pthread_mutex_lock(&journal->state);
    *oldest = journal->n != 0 ? journal->segments[0].number : 0;
    *next = journal->next_number;
    pthread_mutex_unlock(&journal->state);
}

bool journal_segment_epoch(struct journal *journal, uint64_t number, struct epoch *out)
{
    pthread_mutex_lock(&journal->state);
    const struct segment *segment = segment_find(journal, number);
    if (segment != NULL)
        *out = segment->epoch;
    pthread_mutex_unlock(&journal->state);
    return segment != NULL;
}

void journal_get_stats(const struct journal *journal, struct journal_stats *out)
{
    pthread_mutex_lock(&unlocked(journal)->state);
    *out = (struct journal_stats){.bytes = journal->bytes,
                                  .segments = journal->n,
                                  .appended = journal->appended,
                                  .synced_seq = journal->synced_seq,
                                  .dropped = journal->cursor.dropped,
                                  .quarantined = journal->cursor.quarantined,
                                  .quarantined_bytes = journal->cursor.quarantined_bytes,
                                  .sync_count = journal->sync_count,
                                  .sync_total_us = journal->sync_total_us,
                                  .sync_max_us = journal->sync_max_us};
    for (size_t i = journal->n; i-- > 0;) {
        const struct segment *segment = &journal->segments[i];
        uint64_t unretired = segment_unretired(journal, segment);
        out->depth += unretired;
        if (unretired != 0) {
            bool inside = segment->number == journal->cursor.retired.segment && journal->retired_before != 0;
            out->oldest_us = inside ? journal->retired_ts : segment->summary.first_ts;
        }
    }
    pthread_mutex_unlock(&unlocked(journal)->state);
}
