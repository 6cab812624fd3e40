/* SPDX-License-Identifier: Apache-2.0
 *
 * testdir: a directory for one test, and what the room's tests do to the files in it. For *_test.c only.
 */
#ifndef JOURNAL_TESTDIR_H
#define JOURNAL_TESTDIR_H

#include "packed.h"

#include <stddef.h>
#include <sys/types.h>

enum { PACKED_TEST_CHUNK_HEAD = PACKED_HEAD_BYTES + 10 }; /* inside the first chunk's head */

/* cmocka setup and teardown; *state is the path. Below /tmp. */
int testdir_make(void **state);
int testdir_remove(void **state);

void testdir_empty(const char *dir); /* everything in it, also below */
void testdir_write(const char *dir, const char *name, const void *bytes, size_t n);
void testdir_flip(const char *dir, const char *name, off_t at); /* one byte's lowest bit */
size_t testdir_count(const char *dir, const char *suffix);
uint64_t testdir_bytes(const char *dir, const char *suffix);
uint64_t testdir_allocated(const char *dir, const char *suffix); /* bytes on disk */

#endif
