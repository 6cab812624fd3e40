/* SPDX-License-Identifier: Apache-2.0
 *
 * reader: follows the journal from segment to segment, never beyond what is synced. Its open file stays
 * readable when the segment is compressed or removed meanwhile. One thread for each reader.
 */
#include "inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct journal_reader {
    struct journal *journal; /* borrowed; NULL: every valid record in the directory */
    int dir_fd;              /* owned */
    struct source source;
    uint64_t number; /* of the segment that is open */
    struct journal_pos pos;
    struct epoch epoch; /* of the last record given out, and its seq */
    uint64_t seq;
    uint64_t skipped;
    bool distrusts; /* sets nothing aside */
};

int journal_reader_open(struct journal_reader **out, struct journal *journal, const char *dir,
                        struct journal_pos pos, struct err *err)
{
    *out = NULL;
    struct journal_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return err_set(err, ERR_NO_MEMORY, "journal reader: out of memory");
    reader->journal = journal;
    reader->pos = pos;
    source_init(&reader->source);
    reader->dir_fd = journal != NULL ? fcntl(journal->dir_fd, F_DUPFD_CLOEXEC, 0)
                                     : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (reader->dir_fd < 0) {
        int rc = err_errno(err, errno, "journal %s cannot be opened", journal != NULL ? journal->dir : dir);
        free(reader);
        return rc;
    }
    *out = reader;
    return 0;
}

void journal_reader_close(struct journal_reader **reader)
{
    if (*reader == NULL)
        return;
    source_fini(&(*reader)->source);
    close((*reader)->dir_fd);
    free(*reader);
    *reader = NULL;
}

int journal_reader_seek(struct journal_reader *reader, struct journal_pos pos, struct err *err)
{
    (void)err;
    if (reader->source.fd >= 0 && reader->number == pos.segment)
        source_seek(&reader->source, pos.offset);
    else
        source_close(&reader->source);
    reader->pos = pos;
    reader->seq = 0;
    return 0;
}

uint64_t journal_reader_skipped(const struct journal_reader *reader)
{
    return reader->skipped;
}

void journal_reader_distrust(struct journal_reader *reader)
{
    reader->distrusts = true;
}

struct lowest {
    uint64_t from, number;
};

static int keep_lowest(void *arg, uint64_t number, const char *suffix)
{
    struct lowest *lowest = arg;
    if (number >= lowest->from && number < lowest->number &&
        (strcmp(suffix, SEGMENT_PLAIN) == 0 || strcmp(suffix, SEGMENT_PACKED) == 0))
        lowest->number = number;
    return 0;
}

/* The first segment from number on that has something to show: its number and limit. ERR_END: none. */
static int find_segment(struct journal_reader *reader, uint64_t from, uint64_t *number, uint64_t *limit,
                        struct err *err)
{
    *limit = UINT64_MAX;
    if (reader->journal == NULL) {
        struct lowest lowest = {from, UINT64_MAX};
        int rc = segment_names(reader->dir_fd, keep_lowest, &lowest, err);
        *number = lowest.number;
        return rc == 0 && lowest.number == UINT64_MAX ? ERR_END : rc;
    }
    pthread_mutex_lock(&reader->journal->state);
    const struct segment *segment = segment_after(reader->journal, from != 0 ? from - 1 : 0);
    bool found = segment != NULL && segment->synced > SEGMENT_HEADER_BYTES;
    if (found) {
        *number = segment->number;
        *limit = segment->synced;
    }
    pthread_mutex_unlock(&reader->journal->state);
    return found ? 0 : ERR_END;
}

/* Opens the first segment from `from` on. Without a journal, a file without header is passed over. */
static int open_segment(struct journal_reader *reader, uint64_t from, struct err *err)
{
    for (;;) {
        uint64_t number, limit;
        int rc = find_segment(reader, from, &number, &limit, err);
        if (rc != 0)
            return rc;
        rc = source_open(&reader->source, reader->dir_fd, number, err);
        if (rc == 0) {
            if (reader->source.limit > limit)
                reader->source.limit = limit;
            reader->number = number;
            return 0;
        }
        if (rc == ERR_CORRUPT && reader->journal != NULL)
            reader->skipped++;
        if (rc == ERR_CORRUPT || (rc == ERR_NOT_FOUND && reader->journal == NULL))
            from = number + 1;
        else if (rc != ERR_NOT_FOUND)
            return rc;
    }
}

/* The open segment is read to its limit: 0 when there is more now, ERR_END. *leave: go on to the next. */
static int look_again(struct journal_reader *reader, bool *leave, struct err *err)
{
    struct source *source = &reader->source;
    uint64_t old = source->limit;
    *leave = true;
    if (source->packed)
        return 0;
    if (reader->journal == NULL) {
        int rc = source_refresh(source, err);
        *leave = source->limit == old || source->offset >= source->limit;
        return rc;
    }
    pthread_mutex_lock(&reader->journal->state);
    const struct segment *segment = segment_find(reader->journal, reader->number);
    bool sealed = segment == NULL || segment->sealed;
    uint64_t synced = segment != NULL ? segment->synced : source->limit;
    pthread_mutex_unlock(&reader->journal->state);
    if (sealed && segment == NULL) { /* dropped, so sealed: all of it was synced */
        int rc = source_refresh(source, err);
        if (rc != 0)
            return rc;
        synced = source->limit;
    }
    source->limit = synced;
    if (sealed)
        source->sealed = true;
    *leave = sealed && source->limit == old;
    return *leave || source->limit > old ? 0 : ERR_END;
}

static int advance(struct journal_reader *reader, struct err *err)
{
    struct source *source = &reader->source;
    bool leave;
    int rc = look_again(reader, &leave, err);
    if (rc != 0 || !leave)
        return rc;
    uint64_t number, limit;
    rc = find_segment(reader, reader->number + 1, &number, &limit, err);
    if (rc != 0)
        return rc;
    if (!source->packed && source->offset < source->limit)
        reader->skipped++; /* a tail that is no record */
    rc = open_segment(reader, reader->number + 1, err);
    if (rc == 0)
        reader->pos = (struct journal_pos){reader->number, SEGMENT_HEADER_BYTES};
    return rc;
}

static int first_open(struct journal_reader *reader, struct err *err)
{
    int rc = open_segment(reader, reader->pos.segment, err);
    if (rc != 0)
        return rc;
    if (reader->number != reader->pos.segment)
        reader->pos = (struct journal_pos){reader->number, SEGMENT_HEADER_BYTES};
    source_seek(&reader->source, reader->pos.offset);
    return 0;
}

static void give_out(struct journal_reader *reader, const struct record *record, const uint8_t *bytes,
                     struct journal_record *out)
{
    const struct source *source = &reader->source;
    out->epoch = source->header.epoch;
    out->seq = record->seq;
    out->ts_us = record->ts_us;
    out->kind = record->kind;
    out->payload = (struct slice){(const char *)bytes + RECORD_HEADER_BYTES, record->payload_bytes};
    out->pos = (struct journal_pos){reader->number, source->offset - record_bytes(record)};
    out->next = (struct journal_pos){reader->number, source->offset};
    reader->pos = out->next;
    reader->epoch = out->epoch;
    reader->seq = out->seq;
}

int journal_reader_next(struct journal_reader *reader, struct journal_record *out, struct err *err)
{
    struct source *source = &reader->source;
    for (;;) {
        struct record record;
        const uint8_t *bytes;
        int rc = source->fd >= 0 ? 0 : first_open(reader, err);
        if (rc != 0)
            return rc;
        rc = source_next(source, &record, &bytes, err);
        if (rc == ERR_END) {
            if ((rc = advance(reader, err)) != 0)
                return rc;
            continue;
        }
        if (rc == ERR_CORRUPT) {
            reader->skipped++;
            if (reader->journal != NULL && !reader->distrusts)
                quarantine_stretch(reader->journal, source->fd, reader->number, source->damage.file_at,
                                   source->damage.bytes);
            continue;
        }
        if (rc != 0)
            return rc;
        /* Met twice only when a failed disk also refused to cut off what was then written again. */
        if (record.seq <= reader->seq && epoch_equal(&reader->epoch, &source->header.epoch))
            continue;
        give_out(reader, &record, bytes, out);
        return 0;
    }
}
