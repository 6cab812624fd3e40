/* SPDX-License-Identifier: Apache-2.0
 *
 * shelf: what of the store's directory is a part, in which order, and what is left over of something that was
 * interrupted. For parts.c; parts->change is held.
 */
#ifndef STORE_DUCKDB_SHELF_H
#define STORE_DUCKDB_SHELF_H

#include "store/duckdb/parts.h"

/* See parts_open, parts_shut. */
MUST_CHECK int shelf_open(struct parts *parts, struct err *err);
void shelf_shut(struct parts *parts);

/* One that no file of that id has, damaged or not. ERR_IO. */
MUST_CHECK int shelf_generation(struct parts *parts, uint64_t id, unsigned *generation, struct err *err);

/* Into the list, in its order. Of parts.c. */
void parts_insert(struct parts *parts, struct part *part);

#endif
