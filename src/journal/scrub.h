/* SPDX-License-Identifier: Apache-2.0
 *
 * scrub: takes content out of a journal that is being used. A sealed segment is written anew beside the old
 * file and takes its place; every record keeps its position, seq, time stamp, kind and length, so that
 * cursors stay valid, and only bytes of payloads change. kill -9 at any moment leaves the old file or the new
 * one. Who reads the segment at that moment goes on in the old one. Bytes that are no record can't be
 * searched: where a segment is damaged they are overwritten with zeros (or left out of a compressed one), and
 * what quarantine/ kept of them is emptied.
 */
#ifndef JOURNAL_SCRUB_H
#define JOURNAL_SCRUB_H

#include "journal.h"

/* Looks at a record and may change the bytes of `payload` (record->payload.n of them, a copy). The same
 * record may be shown twice, and must change alike. Not 0: ends the scrub with that code. */
typedef int (*scrub_look)(void *arg, const struct journal_record *record, uint8_t *payload, bool *changed,
                          struct err *err);

/* The next sealed segment behind number (0: the first): its number, and the records in it. ERR_END. Any
 * thread. */
MUST_CHECK int journal_next_sealed(const struct journal *journal, uint64_t behind, uint64_t *number,
                                   uint64_t *records);

/* Scrubs one sealed segment; *changed: it was written anew, and is durable. Any one thread but the writer's,
 * beside journal_maintain and journal_retire. ERR_NOT_FOUND: dropped or retired meanwhile. ERR_FULL, ERR_IO,
 * ERR_NO_MEMORY: it is as it was. */
MUST_CHECK int journal_scrub(struct journal *journal, uint64_t number, scrub_look look, void *arg,
                             bool *changed, struct err *err);

/* Empties what quarantine/ holds; the files stay, as they say which places are counted. */
MUST_CHECK int journal_scrub_quarantine(struct journal *journal, struct err *err);

#endif
