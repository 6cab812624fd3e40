/* SPDX-License-Identifier: Apache-2.0
 *
 * chance: repeatable randomness for made-up traffic: xoshiro256** (Blackman, Vigna 2018), seeded by
 * splitmix64. Plain data; never for secrets.
 */
#ifndef CLI_CHANCE_H
#define CLI_CHANCE_H

#include <stddef.h>
#include <stdint.h>

struct chance {
    uint64_t s[4];
};

void chance_seed(struct chance *chance, uint64_t seed);
uint64_t chance_u64(struct chance *chance);
double chance_unit(struct chance *chance);                                      /* [0, 1) */
unsigned chance_below(struct chance *chance, unsigned n);                       /* 0 to n - 1; n > 0 */
double chance_normal(struct chance *chance);                                    /* mean 0, deviation 1 */
size_t chance_weighted(struct chance *chance, const double *weights, size_t n); /* an index */
uint64_t chance_mix(uint64_t *state); /* splitmix64: a hash of a counter */

#endif
