/* SPDX-License-Identifier: Apache-2.0
 *
 * active: the segment being written: one write for an append, one fdatasync for a sync. A file is named in
 * the list only once it holds a record, so that opening without appending leaves nothing behind.
 */
#include "inside.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
    PARTS = 4,                     /* a caller's parts and the segment's header */
    AHEAD_FROM_BYTES = 256 * 1024, /* a segment of that size is one that grows */
    AHEAD_BYTES = 1024 * 1024,
    BEHIND_BYTES = 128 * 1024, /* under load the disk begins with so much before the sync asks for it */
    PAGE_BYTES = 4096,
};

static int write_at(int fd, const struct iovec *parts, int n, uint64_t bytes, uint64_t at)
{
    struct iovec left[PARTS];
    int first = 0;
    memcpy(left, parts, (size_t)n * sizeof *parts);
    while (bytes != 0) {
        ssize_t wrote = pwritev(fd, left + first, n - first, (off_t)at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote == 0)
            errno = ENOSPC;
        if (wrote <= 0)
            return -1;
        at += (uint64_t)wrote;
        bytes -= (uint64_t)wrote;
        for (size_t done = (size_t)wrote; first < n; first++) {
            if (done < left[first].iov_len) {
                left[first].iov_base = (char *)left[first].iov_base + done;
                left[first].iov_len -= done;
                break;
            }
            done -= left[first].iov_len;
        }
    }
    return 0;
}

static int sync_fd(int fd)
{
    int rc;
    do
        rc = fdatasync(fd);
    while (rc != 0 && errno == EINTR);
    return rc;
}

/* An empty file under the next number. Made before the present segment is sealed: when there is no inode for
 * it, the present one is still there to go on with. */
static int open_spare(struct journal *journal, struct err *err)
{
    char name[SEGMENT_NAME_BYTES];
    if (journal->spare_fd >= 0)
        return 0;
    segment_name(name, journal->next_number, SEGMENT_PLAIN);
    journal->spare_fd = openat(journal->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (journal->spare_fd < 0 && errno == EEXIST)
        journal->next_number++;
    if (journal->spare_fd < 0)
        return err_errno(err, errno, "journal segment %s/%s cannot be created", journal->dir, name);
    journal->spare_number = journal->next_number++;
    return 0;
}

static void drop_spare(struct journal *journal)
{
    char name[SEGMENT_NAME_BYTES];
    if (journal->spare_fd < 0)
        return;
    segment_name(name, journal->spare_number, SEGMENT_PLAIN);
    (void)unlinkat(journal->dir_fd, name, 0);
    close(journal->spare_fd);
    journal->spare_fd = -1;
}

/* The spare becomes the segment being written; its header goes out with the first record. */
static void begin(struct journal *journal, const struct epoch *epoch)
{
    journal->active = (struct segment){.number = journal->spare_number,
                                       .epoch = *epoch,
                                       .summary = {.end = SEGMENT_HEADER_BYTES},
                                       .synced = SEGMENT_HEADER_BYTES};
    journal->synced_summary = journal->active.summary;
    journal->fd = journal->spare_fd;
    journal->spare_fd = -1;
    journal->allocated = journal->begun = 0;
    journal->listed = journal->name_synced = journal->suspect = false;
}

/* Back to a spare: the first write into it failed. */
static void unbegin(struct journal *journal)
{
    journal->spare_fd = journal->fd;
    journal->spare_number = journal->active.number;
    journal->fd = -1;
    drop_spare(journal);
}

/* Puts journal->active into the list: as a new item, or over the old one. With state held. */
static void publish_active(struct journal *journal)
{
    struct segment *last = journal->n != 0 ? &journal->segments[journal->n - 1] : NULL;
    uint64_t old_bytes = 0;
    if (last == NULL || last->number != journal->active.number)
        last = &journal->segments[journal->n++];
    else
        old_bytes = last->file_bytes;
    journal->bytes += journal->active.file_bytes - old_bytes;
    *last = journal->active;
    journal->listed = true;
}

static void publish_synced(struct journal *journal)
{
    journal->synced_summary = journal->active.summary;
    journal->active.synced = journal->active.summary.end;
    journal->begun = journal->active.synced / PAGE_BYTES * PAGE_BYTES;
    pthread_mutex_lock(&journal->state);
    publish_active(journal);
    if (epoch_equal(&journal->active.epoch, &journal->epoch))
        journal->synced_seq = journal->active.summary.last_seq;
    pthread_mutex_unlock(&journal->state);
}

/* Blocks for what will be written up to `end` and more: a file system does less for a write whose blocks it
 * has. What it refuses is given back, and not asked for again in this segment. */
static void allocate_ahead(struct journal *journal, uint64_t end)
{
    uint64_t from = journal->active.summary.end, to = end + AHEAD_BYTES;
    if (end < AHEAD_FROM_BYTES || end <= journal->allocated)
        return;
    if (to > journal->segment_bytes + SEGMENT_FOOTER_BYTES)
        to = journal->segment_bytes + SEGMENT_FOOTER_BYTES;
    journal->allocated = to;
    if (to > end && fallocate(journal->fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from)) != 0) {
        journal->allocated = UINT64_MAX;
        if (ftruncate(journal->fd, (off_t)from) != 0)
            log_warning("journal %s: blocks ahead could not be given back [%m]", journal->dir);
    }
}

/* Has the disk begin with whole pages, so that a sync under load is not one long piece of work that takes the
 * processor from the answers. Waits for nothing and takes no error: both are the sync's. */
static void write_behind(struct journal *journal)
{
    uint64_t end = journal->active.summary.end / PAGE_BYTES * PAGE_BYTES;
    if (end < journal->begun + BEHIND_BYTES)
        return;
    (void)sync_file_range(journal->fd, (off_t)journal->begun, (off_t)(end - journal->begun),
                          SYNC_FILE_RANGE_WRITE);
    journal->begun = end;
}

/* Writes whole records behind what is there. On failure nothing of them stays. */
static int put(struct journal *journal, const struct iovec *parts, int n, uint64_t bytes,
               const struct segment_summary *what, struct err *err)
{
    uint8_t header[SEGMENT_HEADER_BYTES];
    struct iovec all[PARTS] = {{header, sizeof header}};
    uint64_t at = journal->active.summary.end;
    memcpy(all + 1, parts, (size_t)n * sizeof *parts);
    if (!journal->listed) {
        struct segment_header fields = {journal->active.number, what->first_seq, clock_real_us(),
                                        journal->active.epoch};
        segment_header_encode(&fields, header);
    }
    if (journal->listed)
        allocate_ahead(journal, at + bytes);
    int failed = journal->listed ? write_at(journal->fd, all + 1, n, bytes, at)
                                 : write_at(journal->fd, all, n + 1, bytes + sizeof header, 0);
    if (failed != 0) {
        int rc = err_errno(err, errno, "journal %s cannot be written", journal->dir);
        if (!journal->listed)
            unbegin(journal);
        else if (ftruncate(journal->fd, (off_t)at) != 0)
            log_warning("journal %s: a failed write could not be cut off [%m]", journal->dir);
        journal->allocated = at;
        return rc;
    }
    segment_summary_add(&journal->active.summary, what, bytes);
    journal->active.file_bytes = journal->active.summary.end + SEGMENT_FOOTER_BYTES;
    pthread_mutex_lock(&journal->state);
    const struct cursor *cursor = &journal->cursor;
    if (cursor->retired.segment == journal->active.number &&
        journal->active.summary.records == journal->retired_before + what->records)
        journal->retired_ts = what->first_ts;
    publish_active(journal);
    journal->appended += what->records;
    pthread_mutex_unlock(&journal->state);
    write_behind(journal);
    return 0;
}

/* Makes the file and its name durable. On failure the segment is suspect. */
static int make_durable(struct journal *journal, struct err *err)
{
    int64_t start = clock_monotonic_us();
    int failed = sync_fd(journal->fd);
    if (failed == 0 && !journal->name_synced)
        failed = fsync(journal->dir_fd);
    int errnum = errno;
    uint64_t took = (uint64_t)(clock_monotonic_us() - start);
    pthread_mutex_lock(&journal->state);
    journal->sync_count++;
    journal->sync_total_us += took;
    if (took > journal->sync_max_us)
        journal->sync_max_us = took;
    pthread_mutex_unlock(&journal->state);
    if (failed != 0) {
        journal->suspect = true;
        return err_errno(err, errnum, "journal %s cannot be synced", journal->dir);
    }
    journal->name_synced = true;
    return 0;
}

/* Writes the footer, if there is room for one: without, the next open scans the segment. */
static void write_footer(struct journal *journal)
{
    uint8_t footer[SEGMENT_FOOTER_BYTES];
    struct iovec part = {footer, sizeof footer};
    uint64_t end = journal->active.summary.end;
    segment_footer_encode(record_seed(&journal->active.epoch), &journal->active.summary, footer);
    if (write_at(journal->fd, &part, 1, sizeof footer, end) == 0)
        end += sizeof footer;
    if (ftruncate(journal->fd, (off_t)end) != 0) /* blocks ahead go too */
        log_warning("journal %s: a segment could not be cut to its end [%m]", journal->dir);
}

static int seal(struct journal *journal, struct err *err)
{
    write_footer(journal);
    int rc = make_durable(journal, err);
    if (rc != 0)
        return rc;
    journal->active.sealed = true;
    publish_synced(journal);
    close(journal->fd);
    journal->fd = -1;
    return 0;
}

/* Copies the records of a suspect file from offset on into the segment now being written: all that are
 * intact, or all up to the first damage when there is somebody who can send the rest again. */
static int copy_unsynced(struct journal *journal, struct source *from, uint64_t offset, uint64_t end,
                         uint64_t *copied, struct err *err)
{
    struct record record;
    const uint8_t *bytes;
    int rc = 0;
    source_seek(from, offset);
    while (rc == 0 || (rc == ERR_CORRUPT && !journal->keep_unretired)) {
        from->limit = end;
        from->sealed = true; /* go on behind damage */
        rc = source_next(from, &record, &bytes, err);
        if (rc != 0)
            continue;
        struct segment_summary what = segment_summary_of(&record);
        struct iovec part = {(void *)(uintptr_t)bytes, record_bytes(&record)};
        rc = put(journal, &part, 1, part.iov_len, &what, err);
        *copied += rc == 0;
    }
    return rc == ERR_END || rc == ERR_CORRUPT ? 0 : rc;
}

/* From the first record that did not come back on: what the owner is to be told. */
static void note_lost(struct journal *journal, const struct segment *old, uint64_t copied)
{
    uint64_t kept = copied != 0 ? journal->active.summary.last_seq : journal->synced_summary.last_seq;
    uint64_t first = kept != 0 ? kept + 1 : old->summary.first_seq;
    if (journal->lost_first == 0 || first < journal->lost_first)
        journal->lost_first = first;
    if (old->summary.last_seq > journal->lost_last)
        journal->lost_last = old->summary.last_seq;
}

/* Takes the suspect segment back to its last good sync in file and list. */
static void cut_suspect(struct journal *journal, const struct segment *old, int fd, uint64_t copied)
{
    char name[SEGMENT_NAME_BYTES];
    uint64_t lost = old->summary.records - journal->synced_summary.records - copied;
    bool nothing = journal->synced_summary.records == 0;
    segment_name(name, old->number, SEGMENT_PLAIN);
    if (nothing ? unlinkat(journal->dir_fd, name, 0) : ftruncate(fd, (off_t)old->synced))
        log_warning("journal %s: %s could not be cut to its last good sync [%m]", journal->dir, name);
    if ((!nothing && fsync(fd) != 0) || fsync(journal->dir_fd) != 0) /* or a power cut brings it back */
        log_warning("journal %s: the cut of %s could not be synced [%m]", journal->dir, name);
    pthread_mutex_lock(&journal->state);
    struct segment *listed = segment_find(journal, old->number);
    if (listed != NULL && nothing)
        segment_remove(journal, listed);
    else if (listed != NULL) {
        listed->sealed = true;
        listed->summary = journal->synced_summary;
        journal->bytes -= listed->file_bytes - listed->summary.end;
        listed->file_bytes = listed->summary.end;
    }
    journal->cursor.dropped += journal->keep_unretired ? 0 : lost;
    journal->appended -= copied;
    pthread_mutex_unlock(&journal->state);
    log_warning("journal %s: a sync failed; %lu records were written again, %lu are lost; check the disk",
                journal->dir, (unsigned long)copied, (unsigned long)lost);
    if (lost != 0 && journal->keep_unretired)
        note_lost(journal, old, copied);
    else if (lost != 0 && journal_store_cursor(journal, true, false, NULL) != 0)
        log_warning("journal %s: the count of lost records could not be stored", journal->dir);
}

/* The header can be among what the disk took; it is known. */
static int read_suspect(struct journal *journal, struct source *from, const struct segment *old,
                        struct err *err)
{
    uint8_t header[SEGMENT_HEADER_BYTES];
    struct iovec part = {header, sizeof header};
    struct segment_header fields = {old->number, old->summary.first_seq, clock_real_us(), old->epoch};
    int rc = ERR_CORRUPT;
    for (int i = 0; rc == ERR_CORRUPT && i < 2; i++) {
        int fd = fcntl(journal->fd, F_DUPFD_CLOEXEC, 0);
        segment_header_encode(&fields, header);
        if (i > 0 && write_at(journal->fd, &part, 1, sizeof header, 0) != 0)
            log_warning("journal %s: a header could not be written again [%m]", journal->dir);
        rc = fd >= 0 ? source_take(from, fd, err) : err_set(err, ERR_IO, "no descriptor left");
    }
    return rc;
}

/* The file can't be trusted beyond its last good sync, even if a later fdatasync answers 0 (the kernel
 * forgets the pages that failed): writes what came since, from the page cache, to a new segment. */
static int salvage(struct journal *journal, struct err *err)
{
    struct segment old = journal->active;
    struct segment_summary synced = journal->synced_summary;
    struct source from;
    uint64_t copied = 0;
    int rc = open_spare(journal, err);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&journal->state);
    rc = segment_reserve(journal);
    pthread_mutex_unlock(&journal->state);
    source_init(&from);
    int fd = journal->fd;
    rc = rc == 0 ? read_suspect(journal, &from, &old, err)
                 : err_set(err, rc, "journal %s: out of memory", journal->dir);
    begin(journal, &old.epoch);
    if (rc == 0)
        rc = copy_unsynced(journal, &from, old.synced, old.summary.end, &copied, err);
    source_fini(&from);
    if (rc == 0) {
        bool empty = !journal->listed;
        struct segment_summary fresh = journal->synced_summary;
        journal->synced_summary = synced;
        cut_suspect(journal, &old, fd, copied);
        journal->synced_summary = fresh;
        close(fd);
        if (empty)
            unbegin(journal);
        return 0;
    }
    if (journal->fd >= 0 && journal->listed) { /* half-way: take the copy back */
        pthread_mutex_lock(&journal->state);
        segment_remove(journal, &journal->segments[journal->n - 1]);
        journal->appended -= copied;
        pthread_mutex_unlock(&journal->state);
    }
    if (journal->fd >= 0)
        unbegin(journal);
    journal->fd = fd;
    journal->active = old;
    journal->synced_summary = synced;
    journal->listed = journal->suspect = true;
    return rc;
}

/* After a failed sync nothing goes on before what it held is safe, or its owner told that it is not. */
static int get_over_failure(struct journal *journal, struct err *err)
{
    int rc = journal->suspect ? salvage(journal, err) : 0;
    if (rc == 0 && journal->lost_first != 0)
        rc =
            err_set(err, ERR_IO, "journal %s: the disk took records that were not durable yet", journal->dir);
    return rc;
}

/* Room for need more bytes on disk below max_bytes, and for one more segment in the list. */
static int make_room(struct journal *journal, uint64_t need, struct err *err)
{
    for (;;) {
        pthread_mutex_lock(&journal->state);
        bool room = journal->bytes + need <= journal->max_bytes && journal->n < JOURNAL_SEGMENTS;
        bool only_active = journal->n == 1 && journal->listed && journal->fd >= 0;
        bool empty = journal->n == 0;
        int rc = room ? segment_reserve(journal) : 0;
        pthread_mutex_unlock(&journal->state);
        if (room || rc != 0)
            return rc != 0 ? err_set(err, rc, "journal %s: out of memory", journal->dir) : 0;
        if (empty)
            return err_set(err, ERR_LIMIT, "journal %s: a record is larger than the journal may be",
                           journal->dir);
        if (only_active && (rc = seal(journal, err)) != 0)
            return rc;
        if ((rc = journal_drop_oldest(journal, err)) != 0)
            return rc;
    }
}

/* Has a segment to write `bytes` of this epoch into. */
static int prepare(struct journal *journal, const struct epoch *epoch, uint64_t bytes, struct err *err)
{
    int rc = get_over_failure(journal, err);
    if (rc == 0)
        rc = make_room(journal, bytes + SEGMENT_HEADER_BYTES + SEGMENT_FOOTER_BYTES, err);
    if (rc != 0)
        return rc;
    bool same = journal->fd >= 0 && epoch_equal(&journal->active.epoch, epoch);
    if (same && journal->active.summary.end + bytes <= journal->segment_bytes)
        return 0;
    rc = open_spare(journal, err);
    if (rc != 0)
        return same ? 0 : rc;
    if (journal->fd >= 0 && (rc = seal(journal, err)) != 0) {
        struct err ignored;
        (void)!salvage(journal, &ignored); /* and again at the next call */
        return rc;
    }
    begin(journal, epoch);
    return 0;
}

int active_append(struct journal *journal, const struct epoch *epoch, const struct iovec *parts, int n,
                  uint64_t bytes, const struct segment_summary *what, struct err *err)
{
    int rc = prepare(journal, epoch, bytes, err);
    return rc != 0 ? rc : put(journal, parts, n, bytes, what, err);
}

int active_sync(struct journal *journal, struct err *err)
{
    struct err ignored;
    int rc = get_over_failure(journal, err);
    if (rc != 0 || journal->fd < 0 || journal->active.synced == journal->active.summary.end)
        return rc;
    rc = make_durable(journal, err);
    if (rc == 0)
        publish_synced(journal);
    else
        (void)!salvage(journal, &ignored); /* and again at the next call */
    return rc;
}

int active_rotate(struct journal *journal, struct err *err)
{
    struct err ignored;
    int rc = get_over_failure(journal, err);
    if (rc != 0 || journal->fd < 0 || !journal->listed)
        return rc;
    rc = seal(journal, err);
    if (rc != 0)
        (void)!salvage(journal, &ignored); /* and again at the next call */
    return rc;
}

int active_free_space(struct journal *journal, struct err *err)
{
    int rc = journal_drop_oldest(journal, err);
    if (rc != ERR_FULL || journal->fd < 0 || !journal->listed || journal->suspect)
        return rc;
    rc = seal(journal, err);
    return rc != 0 ? rc : journal_drop_oldest(journal, err);
}

void active_close(struct journal *journal)
{
    struct err err = {0};
    int rc = journal->suspect ? salvage(journal, &err) : 0;
    if (rc == 0 && journal->fd >= 0)
        rc = seal(journal, &err);
    if (rc != 0)
        log_error("journal %s: closed without its last sync [%s]", journal->dir, err_detail(&err));
    if (journal->fd >= 0)
        close(journal->fd);
    journal->fd = -1;
    drop_spare(journal);
}
