/* SPDX-License-Identifier: Apache-2.0
 *
 * recover: what an open for writing does with the directory it finds: lists the segments; reads those that
 * were not sealed through, sets their damage and torn tails aside, and seals them, so that the next open
 * needn't. Doing it twice changes nothing.
 */
#include "inside.h"

#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIGITS = 16 };

int segment_names(int dir_fd, int (*each)(void *arg, uint64_t number, const char *suffix), void *arg,
                  struct err *err)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = fd >= 0 ? fdopendir(fd) : NULL;
    if (names == NULL) {
        int rc = err_errno(err, errno, "journal directory cannot be read");
        if (fd >= 0)
            close(fd);
        return rc;
    }
    int rc = 0;
    for (struct dirent *entry; rc == 0 && (entry = readdir(names)) != NULL;) {
        uint8_t bytes[DIGITS / 2];
        uint64_t number = 0;
        if (strlen(entry->d_name) != DIGITS + 4 ||
            text_from_hex((struct slice){entry->d_name, DIGITS}, bytes, sizeof bytes) != 0)
            continue;
        for (size_t i = 0; i < sizeof bytes; i++)
            number = number << 8 | bytes[i];
        if (number != 0 && number != UINT64_MAX)
            rc = each(arg, number, entry->d_name + DIGITS);
    }
    closedir(names);
    return rc;
}

struct listing {
    struct journal *journal;
    uint64_t *numbers;
    size_t n, capacity;
};

/* Removes what is counted already and what a crash left half-made; lists the rest. */
static int list_one(void *arg, uint64_t number, const char *suffix)
{
    struct listing *listing = arg;
    bool segment = strcmp(suffix, SEGMENT_PLAIN) == 0 || strcmp(suffix, SEGMENT_PACKED) == 0;
    if (strcmp(suffix, SEGMENT_TMP) == 0 || (segment && number <= listing->journal->cursor.dropped_through)) {
        char name[SEGMENT_NAME_BYTES];
        segment_name(name, number, suffix);
        (void)unlinkat(listing->journal->dir_fd, name, 0);
        return 0;
    }
    if (!segment)
        return 0;
    if (listing->n == listing->capacity) {
        size_t capacity = listing->capacity != 0 ? listing->capacity * 2 : 64;
        uint64_t *more = realloc(listing->numbers, capacity * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        listing->numbers = more;
        listing->capacity = capacity;
    }
    listing->numbers[listing->n++] = number;
    return 0;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* What is behind the last intact record goes: to quarantine/, unless the next segment has it again (copy). */
static void cut_tail(struct journal *journal, struct source *source, int fd, bool copy)
{
    struct stat st;
    uint64_t end = source->offset;
    if (fstat(fd, &st) != 0 || (uint64_t)st.st_size <= end)
        return;
    if (!copy)
        quarantine_stretch(journal, fd, source->header.number, end, (uint64_t)st.st_size - end);
    if (ftruncate(fd, (off_t)end) != 0)
        log_warning("journal %s: segment %016" PRIx64 " cannot be cut to its valid part [%m]", journal->dir,
                    source->header.number);
}

/* Footer and fsync, as far as the disk allows; without, the next open scans once more. */
static void seal_found(struct journal *journal, const struct source *source, int fd, struct segment *segment)
{
    uint8_t footer[SEGMENT_FOOTER_BYTES];
    segment_footer_encode(source->seed, &segment->summary, footer);
    uint64_t end = segment->summary.end;
    if (pwrite(fd, footer, sizeof footer, (off_t)end) == (ssize_t)sizeof footer)
        end += sizeof footer;
    if (ftruncate(fd, (off_t)end) != 0) /* blocks allocated ahead go too */
        log_warning("journal %s: segment %016" PRIx64 " cannot be sealed [%m]", journal->dir,
                    segment->number);
}

/* Reads an unsealed segment through. Records from stop_seq on stand in the next segment. */
static int scan(struct journal *journal, struct source *source, uint64_t stop_seq, struct segment *segment,
                struct err *err)
{
    struct record record;
    const uint8_t *bytes;
    int rc = 0, fd;
    char name[SEGMENT_NAME_BYTES];
    bool copy = false;
    segment->summary = (struct segment_summary){.end = SEGMENT_HEADER_BYTES};
    while (!copy && (rc == 0 || rc == ERR_CORRUPT)) {
        rc = source_next(source, &record, &bytes, err);
        if (rc == 0 && (copy = record.seq >= stop_seq))
            source_seek(source, source->offset - record_bytes(&record));
        else if (rc == 0) {
            struct segment_summary one = segment_summary_of(&record);
            segment_summary_add(&segment->summary, &one, 0);
        } else if (rc == ERR_CORRUPT)
            quarantine_stretch(journal, source->fd, segment->number, source->damage.file_at,
                               source->damage.bytes);
    }
    if (rc != 0 && rc != ERR_END)
        return rc;
    segment->summary.end = source->offset;
    segment_name(name, segment->number, SEGMENT_PLAIN);
    fd = openat(journal->dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_errno(err, errno, "journal %s: %s cannot be opened", journal->dir, name);
    cut_tail(journal, source, fd, copy);
    if (segment->summary.records != 0)
        seal_found(journal, source, fd, segment);
    rc =
        fdatasync(fd) == 0 ? 0 : err_errno(err, errno, "journal %s: %s cannot be synced", journal->dir, name);
    close(fd);
    return rc;
}

/* The first seq of the segment after number when it is of the same epoch: what a failed sync made be written
 * again. */
static uint64_t next_first_seq(struct journal *journal, uint64_t next, const struct epoch *epoch)
{
    struct source source;
    uint64_t first = UINT64_MAX;
    source_init(&source);
    if (next != 0 && source_open(&source, journal->dir_fd, next, NULL) == 0 &&
        epoch_equal(&source.header.epoch, epoch))
        first = source.header.first_seq;
    source_fini(&source);
    return first;
}

static uint64_t name_bytes(struct journal *journal, const char *name)
{
    struct stat st;
    return fstatat(journal->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)st.st_size : 0;
}

/* No header to go by: an empty file is a segment that never was, the rest is damage. */
static void set_aside(struct journal *journal, uint64_t number, bool packed)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(name, number, packed ? SEGMENT_PACKED : SEGMENT_PLAIN);
    uint64_t bytes = name_bytes(journal, name);
    if (bytes == 0)
        (void)unlinkat(journal->dir_fd, name, 0);
    else
        quarantine_file(journal, name, bytes);
}

/* Opens the segment's file, whichever form is whole; *there false when none is. */
static int open_one(struct journal *journal, struct source *source, uint64_t number, bool *there,
                    struct err *err)
{
    char plain[SEGMENT_NAME_BYTES], packed[SEGMENT_NAME_BYTES];
    segment_name(plain, number, SEGMENT_PLAIN);
    segment_name(packed, number, SEGMENT_PACKED);
    *there = false;
    for (int form = 1; form >= 0; form--) {
        const char *name = form == 1 ? packed : plain;
        int fd = openat(journal->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT)
            continue;
        if (fd < 0)
            return err_errno(err, errno, "journal %s: %s cannot be opened", journal->dir, name);
        int rc = source_take(source, fd, err);
        if (rc == 0 && (source->header.number != number || source->packed != (form == 1)))
            rc = ERR_CORRUPT;
        if (rc != 0 && rc != ERR_CORRUPT)
            return rc;
        if (rc == ERR_CORRUPT) {
            source_close(source);
            set_aside(journal, number, form == 1);
            continue;
        }
        *there = true;
        if (form == 1)
            (void)unlinkat(journal->dir_fd, plain, 0); /* packed and in place, the plain one had to go */
        return 0;
    }
    return 0;
}

static int recover_one(struct journal *journal, struct source *source, uint64_t number, uint64_t next,
                       struct err *err)
{
    bool there;
    char name[SEGMENT_NAME_BYTES];
    int rc = open_one(journal, source, number, &there, err);
    if (rc != 0 || !there)
        return rc;
    struct segment segment = {.number = number,
                              .epoch = source->header.epoch,
                              .summary = source->summary,
                              .sealed = true,
                              .packed = source->packed};
    if (!source->sealed)
        rc = scan(journal, source, next_first_seq(journal, next, &segment.epoch), &segment, err);
    if (rc != 0)
        return rc;
    segment_name(name, number, segment.packed ? SEGMENT_PACKED : SEGMENT_PLAIN);
    if (segment.summary.records == 0) {
        (void)unlinkat(journal->dir_fd, name, 0);
        return 0;
    }
    segment.synced = segment.summary.end;
    segment.file_bytes = name_bytes(journal, name);
    pthread_mutex_lock(&journal->state);
    if ((rc = segment_reserve(journal)) == 0) {
        journal->segments[journal->n++] = segment;
        journal->bytes += segment.file_bytes;
    }
    pthread_mutex_unlock(&journal->state);
    return rc != 0 ? err_set(err, rc, "journal %s: out of memory", journal->dir) : 0;
}

int journal_recover(struct journal *journal, struct err *err)
{
    struct listing listing = {.journal = journal};
    struct source source;
    source_init(&source);
    int rc = segment_names(journal->dir_fd, list_one, &listing, err);
    if (listing.n != 0)
        qsort(listing.numbers, listing.n, sizeof *listing.numbers, by_number);
    for (size_t i = 0; i < listing.n && rc == 0; i++) {
        size_t after = i + 1;
        while (after < listing.n && listing.numbers[after] == listing.numbers[i])
            after++; /* plain and packed */
        rc = recover_one(journal, &source, listing.numbers[i], after < listing.n ? listing.numbers[after] : 0,
                         err);
        journal->next_number = listing.numbers[i] + 1;
        i = after - 1;
    }
    if (rc == 0 && fsync(journal->dir_fd) != 0)
        rc = err_errno(err, errno, "journal directory %s cannot be synced", journal->dir);
    source_fini(&source);
    free(listing.numbers);
    return rc;
}
