/* SPDX-License-Identifier: Apache-2.0
 *
 * retire: how segments end: retired and removed, dropped and counted, or compressed meanwhile.
 */
#include "inside.h"

#include "packed.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { PACK_FROM_BYTES = 64 * 1024 }; /* smaller segments stay as they are */
static const int64_t warn_every_us = 60 * US_PER_SECOND;

int journal_store_cursor(struct journal *journal, bool durable, bool files_held, struct err *err)
{
    if (!files_held)
        pthread_mutex_lock(&journal->files);
    pthread_mutex_lock(&journal->state);
    struct cursor cursor = journal->cursor;
    pthread_mutex_unlock(&journal->state);
    cursor.generation = journal->cursor_generation;
    int rc = cursor_store(journal->cursor_fd, &cursor, durable, err);
    if (rc == 0) /* else the torn slot is the one to write again */
        journal->cursor_generation = cursor.generation;
    if (!files_held)
        pthread_mutex_unlock(&journal->files);
    return rc;
}

static void unlink_segment(struct journal *journal, uint64_t number)
{
    static const char *const suffixes[] = {SEGMENT_PLAIN, SEGMENT_PACKED};
    char name[SEGMENT_NAME_BYTES];
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        segment_name(name, number, suffixes[i]);
        if (unlinkat(journal->dir_fd, name, 0) != 0 && errno != ENOENT)
            log_warning("journal %s: %s cannot be removed [%m]; remove it by hand", journal->dir, name);
    }
}

static void warn_of_drop(struct journal *journal, uint64_t unretired)
{
    int64_t now = clock_monotonic_us();
    if (unretired == 0 || (journal->warned_us != 0 && now - journal->warned_us < warn_every_us))
        return;
    journal->warned_us = now;
    log_warning("journal %s: full, dropped its oldest %" PRIu64 " unread records; give it more room or a "
                "reader that keeps up",
                journal->dir, unretired);
}

/* The count is stored before the file goes, together with the number up to which segments are counted: after
 * a crash in between the next open removes the file and counts nothing. */
int journal_drop_oldest(struct journal *journal, struct err *err)
{
    uint64_t number = 0, unretired = 0;
    pthread_mutex_lock(&journal->files);
    pthread_mutex_lock(&journal->state);
    struct segment *oldest = journal->n != 0 && journal->segments[0].sealed ? journal->segments : NULL;
    if (oldest != NULL)
        unretired = segment_unretired(journal, oldest);
    bool may = oldest != NULL && (unretired == 0 || !journal->keep_unretired);
    if (may) {
        number = oldest->number;
        journal->cursor.dropped += unretired;
        journal->cursor.dropped_through = number;
        segment_remove(journal, oldest);
    }
    pthread_mutex_unlock(&journal->state);
    if (may) {
        struct err store = {0};
        if (journal_store_cursor(journal, true, true, &store) != 0)
            log_warning("journal %s: the count of dropped records is not stored [%s]", journal->dir,
                        err_detail(&store));
        unlink_segment(journal, number);
        warn_of_drop(journal, unretired);
    }
    pthread_mutex_unlock(&journal->files);
    return may ? 0 : err_set(err, ERR_FULL, "journal %s is full", journal->dir);
}

/* --- retire -------------------------------------------------------------------------------------------- */

struct place {
    uint64_t before; /* records of its segment before it */
    int64_t ts;      /* of the record at it; 0: none there yet */
};

/* Counts the records from offset `from` (place->before of them known) up to pos. */
static int walk_to(struct journal *journal, struct journal_pos pos, uint64_t from, struct place *place,
                   struct err *err)
{
    struct source *walk = &journal->walk;
    struct record record;
    const uint8_t *bytes;
    int rc = 0;
    if (walk->fd < 0 || journal->walk_number != pos.segment)
        rc = source_open(walk, journal->dir_fd, pos.segment, err);
    else
        rc = source_refresh(walk, err);
    if (rc != 0)
        return rc;
    journal->walk_number = pos.segment;
    if (walk->offset != from)
        source_seek(walk, from);
    for (place->ts = 0; rc == 0 || rc == ERR_CORRUPT;) {
        rc = source_next(walk, &record, &bytes, err);
        if (rc != 0)
            continue;
        if (walk->offset > pos.offset) {
            place->ts = record.ts_us;
            source_seek(walk, pos.offset);
            return 0;
        }
        place->before++;
    }
    return rc == ERR_END ? 0 : rc;
}

static int find_place(struct journal *journal, struct journal_pos pos, struct place *place, struct err *err)
{
    pthread_mutex_lock(&journal->state);
    const struct segment *found = segment_find(journal, pos.segment);
    bool there = found != NULL, known = pos.segment < journal->next_number;
    struct segment segment = there ? *found : (struct segment){.number = 0};
    struct journal_pos retired = journal->cursor.retired;
    uint64_t retired_before = journal->retired_before;
    pthread_mutex_unlock(&journal->state);
    *place = (struct place){0, 0};
    if (!there)
        return known ? 0 : err_set(err, ERR_INVALID, "journal %s: no such position", journal->dir);
    if (!segment.sealed && pos.offset > segment.summary.end)
        return err_set(err, ERR_INVALID, "journal %s: no such position", journal->dir);
    if (segment.sealed && pos.offset >= segment.summary.end) {
        place->before = segment.summary.records;
        return 0;
    }
    if (pos.offset <= SEGMENT_HEADER_BYTES) {
        place->ts = segment.summary.first_ts;
        return 0;
    }
    bool same = retired.segment == pos.segment && retired.offset > SEGMENT_HEADER_BYTES;
    place->before = same ? retired_before : 0;
    int rc = walk_to(journal, pos, same ? retired.offset : SEGMENT_HEADER_BYTES, place, err);
    return rc == ERR_NOT_FOUND ? 0 : rc; /* dropped meanwhile */
}

int journal_retire(struct journal *journal, struct journal_pos pos, struct err *err)
{
    struct place place;
    if (journal_pos_compare(pos, journal_retired(journal)) <= 0)
        return 0;
    int rc = find_place(journal, pos, &place, err);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&journal->state);
    const struct segment *segment = segment_find(journal, pos.segment);
    if (place.ts == 0 && segment != NULL && segment->summary.records > place.before)
        place.ts = segment->summary.max_ts; /* appended while we walked */
    journal->cursor.retired = pos;
    journal->retired_before = place.before;
    journal->retired_ts = place.ts;
    pthread_mutex_unlock(&journal->state);
    return journal_store_cursor(journal, false, false, err);
}

/* --- maintain ------------------------------------------------------------------------------------------ */

/* When a segment's last record was appended at the latest, whatever the clock said then: one that was ahead
 * for a while has stamped records later than those of the segments behind. With state held. */
static int64_t latest_us(const struct journal *journal, const struct segment *segment)
{
    int64_t latest = segment->summary.max_ts;
    for (const struct segment *later = segment + 1; later < journal->segments + journal->n; later++)
        if (later->summary.records != 0 && later->summary.first_ts < latest)
            latest = later->summary.first_ts;
    return latest;
}

/* Removes the oldest segment when it is retired and old enough. */
static bool remove_retired(struct journal *journal, int64_t now_us, int64_t keep_us)
{
    uint64_t number = 0;
    pthread_mutex_lock(&journal->files);
    pthread_mutex_lock(&journal->state);
    struct segment *oldest = journal->n != 0 && journal->segments[0].sealed ? journal->segments : NULL;
    if (oldest != NULL && segment_unretired(journal, oldest) == 0 &&
        oldest->number <= journal->cursor.retired.segment &&
        (keep_us <= 0 || latest_us(journal, oldest) <= now_us - keep_us)) {
        number = oldest->number;
        segment_remove(journal, oldest);
    }
    pthread_mutex_unlock(&journal->state);
    if (number != 0) {
        if (journal->walk_number == number)
            source_close(&journal->walk); /* else its blocks stay taken */
        unlink_segment(journal, number);
        if (fsync(journal->dir_fd) != 0)
            log_warning("journal %s: directory cannot be synced [%m]", journal->dir);
    }
    pthread_mutex_unlock(&journal->files);
    return number != 0;
}

/* The packed file must say the same as the plain one, before that is given up. */
static int verify(int fd, const struct segment *segment, uint64_t records, struct err *err)
{
    struct source source;
    struct record record;
    const uint8_t *bytes;
    uint64_t count = 0, last = 0;
    source_init(&source);
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int rc = copy >= 0 ? source_take(&source, copy, err) : err_errno(err, errno, "packed segment");
    for (; rc == 0; count += rc == 0, last = rc == 0 ? record.seq : last)
        rc = source_next(&source, &record, &bytes, err);
    source_fini(&source);
    if (rc != ERR_END)
        return rc;
    return count == records && last <= segment->summary.last_seq
               ? 0
               : err_set(err, ERR_CORRUPT, "packed segment %016" PRIx64 " differs", segment->number);
}

static void damaged(void *arg, const struct source *source)
{
    quarantine_stretch(arg, source->fd, source->header.number, source->damage.file_at, source->damage.bytes);
}

/* Plain segment → NUMBER.tmp. *file_bytes 0: not worth it. */
static int write_packed(struct journal *journal, const struct segment *segment, const char *tmp,
                        uint64_t *file_bytes, struct err *err)
{
    struct source source;
    source_init(&source);
    int fd = openat(journal->dir_fd, tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_errno(err, errno, "journal %s: %s cannot be made", journal->dir, tmp);
    int rc = source_open(&source, journal->dir_fd, segment->number, err);
    uint64_t before = 0;
    if (rc == 0) {
        source.limit = segment->summary.end;
        source.sealed = true;
        const struct packed_calls calls = {.damaged = damaged, .arg = journal};
        rc = packed_write(fd, &source, &segment->summary, journal->compress_level, &calls, file_bytes, err);
        before = segment->summary.records;
    }
    if (rc == 0)
        rc = verify(fd, segment, before, err);
    if (rc == 0 && *file_bytes > segment->file_bytes / 10 * 9)
        *file_bytes = 0;
    source_fini(&source);
    close(fd);
    return rc;
}

/* NUMBER.tmp takes the plain file's place, unless the segment was dropped meanwhile. */
static int install_packed(struct journal *journal, uint64_t number, const char *tmp, uint64_t file_bytes,
                          struct err *err)
{
    char packed[SEGMENT_NAME_BYTES], plain[SEGMENT_NAME_BYTES];
    segment_name(packed, number, SEGMENT_PACKED);
    segment_name(plain, number, SEGMENT_PLAIN);
    int rc = 0;
    pthread_mutex_lock(&journal->files);
    pthread_mutex_lock(&journal->state);
    bool there = segment_find(journal, number) != NULL;
    pthread_mutex_unlock(&journal->state);
    if (there &&
        (renameat(journal->dir_fd, tmp, journal->dir_fd, packed) != 0 || fsync(journal->dir_fd) != 0))
        rc = err_errno(err, errno, "journal %s: %s cannot be put in place", journal->dir, packed);
    if (there && rc == 0) {
        (void)unlinkat(journal->dir_fd, plain, 0); /* if it stays, the next open removes it */
        pthread_mutex_lock(&journal->state);
        struct segment *segment = segment_find(journal, number);
        segment->packed = true;
        journal->bytes -= segment->file_bytes - file_bytes;
        segment->file_bytes = file_bytes;
        pthread_mutex_unlock(&journal->state);
    }
    pthread_mutex_unlock(&journal->files);
    return there ? rc : ERR_NOT_FOUND;
}

static bool next_to_pack(struct journal *journal, struct segment *out)
{
    bool found = false;
    pthread_mutex_lock(&journal->state);
    for (size_t i = 0; i < journal->n && !found; i++) {
        *out = journal->segments[i];
        found = out->sealed && !out->packed && !out->unpackable && out->file_bytes >= PACK_FROM_BYTES;
    }
    pthread_mutex_unlock(&journal->state);
    return found;
}

static void leave_unpacked(struct journal *journal, uint64_t number)
{
    pthread_mutex_lock(&journal->state);
    struct segment *segment = segment_find(journal, number);
    if (segment != NULL)
        segment->unpackable = true;
    pthread_mutex_unlock(&journal->state);
}

static int pack_one(struct journal *journal, bool *worked, struct err *err)
{
    struct segment segment;
    if (!next_to_pack(journal, &segment))
        return 0;
    char tmp[SEGMENT_NAME_BYTES];
    uint64_t file_bytes = 0;
    segment_name(tmp, segment.number, SEGMENT_TMP);
    int rc = write_packed(journal, &segment, tmp, &file_bytes, err);
    if (rc == 0 && file_bytes != 0)
        rc = install_packed(journal, segment.number, tmp, file_bytes, err);
    *worked = rc == 0;
    if (rc == ERR_NOT_FOUND)
        rc = 0;
    if (rc == ERR_CORRUPT || file_bytes == 0)
        leave_unpacked(journal, segment.number);
    (void)unlinkat(journal->dir_fd, tmp, 0); /* gone already when it was put in place */
    return rc == ERR_CORRUPT ? 0 : rc;
}

int journal_maintain(struct journal *journal, int64_t now_us, int64_t keep_us, bool *worked, struct err *err)
{
    *worked = remove_retired(journal, now_us, keep_us);
    if (*worked || journal->compress_level == 0)
        return 0;
    pthread_mutex_lock(&journal->rewriting);
    int rc = pack_one(journal, worked, err);
    pthread_mutex_unlock(&journal->rewriting);
    return rc;
}
