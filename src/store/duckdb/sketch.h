/* SPDX-License-Identifier: Apache-2.0
 *
 * sketch: HyperLogLog (Flajolet and others, 2007) with 2,048 registers, in SQL: how many different values
 * there were, within 2.3 % (one standard deviation), from sketches that can be put together. A sketch is a
 * list of register * 32 + rank, of the registers that are not 0. Values are hashed by MD5, which is the same
 * in every release of DuckDB; its hash() needn't be.
 */
#ifndef STORE_DUCKDB_SKETCH_H
#define STORE_DUCKDB_SKETCH_H

#define SKETCH_REGISTERS 2048

/* Of a column v0: register * 32 + rank. The rank is the place of the lowest 1 of the hash's upper bits, where
 * one stands at the 31st at the latest. */
#define SKETCH_HASH "md5_number_lower(v0::VARCHAR)"
#define SKETCH_OF_V0                                                                                         \
    "((" SKETCH_HASH " & 2047) * 32 + bit_count(xor((" SKETCH_HASH " // 2048 | 1073741824)::BIGINT, "        \
    "(" SKETCH_HASH " // 2048 | 1073741824)::BIGINT - 1)))::USMALLINT"

/* An aggregate over rows of one register each with its highest rank z: the estimate (linear counting while
 * registers are free). */
#define SKETCH_ESTIMATE                                                                                      \
    "round(CASE WHEN count(*) < 2048 AND 0.7213 / (1 + 1.079 / 2048) * 2048 * 2048 / (sum(pow(2, -z)) + "    \
    "2048 - "                                                                                                \
    "count(*)) <= 5120 THEN 2048 * ln(2048 / (2048 - count(*))) ELSE 0.7213 / (1 + 1.079 / 2048) * 2048 * "  \
    "2048 / "                                                                                                \
    "(sum(pow(2, -z)) + 2048 - count(*)) END)::UBIGINT"

#endif
