/* SPDX-License-Identifier: Apache-2.0
 *
 * engines: the engines of this build, for store.c's table and the conformance suite.
 */
#ifndef STORE_ENGINES_H
#define STORE_ENGINES_H

#include "store/store.h"

extern const struct store_engine duckdb_engine, null_engine;

#endif
